using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>Which steps a run takes and what happens between them.</summary>
public sealed record RunPlan
{
    /// <summary>Step whose state the run starts from: 0, or that of the checkpoint.</summary>
    public required long StartStep { get; init; }

    /// <summary>The step after which the run ends.</summary>
    public required long EndStep { get; init; }

    /// <summary>Steps between evaluations; 0 for none, also none at the end.</summary>
    public long EvaluateEvery { get; init; }

    /// <summary>At most so many held-out micro-batches an evaluation.</summary>
    public int EvaluationMicroBatchCount { get; init; } = 1;

    /// <summary>Whether the run keeps checkpoints; then there is one after its last step.</summary>
    public bool Saves { get; init; }

    /// <summary>Steps between checkpoints; 0 for the last one only.</summary>
    public long SaveEvery { get; init; }

    /// <summary>Steps granted beyond the last committed one in any case: enough that no stage waits for the coordinator.</summary>
    public int StepsAhead { get; init; } = 4;

    /// <summary>
    /// Time that the steps granted ahead are to cover, by their measured length: how long stages go on without a coordinator. Zero where
    /// coordinator and stages live and die together.
    /// </summary>
    public TimeSpan WindowSpan { get; init; }

    /// <summary>At most so many steps are granted for that time.</summary>
    public int MostStepsAhead { get; init; } = 1000;

    /// <summary>What was changed since the run began, in the order of the steps.</summary>
    public IReadOnlyList<SettingChange> Changes { get; init; } = [];

    /// <summary>The largest global norm with which a step's gradient is not scaled down, until a change names another; 0 for any.</summary>
    public double Clip { get; init; }

    /// <summary>What becomes of steps that are not finite.</summary>
    public NonFinitePolicy NonFinite { get; init; } = NonFinitePolicy.Default;

    /// <summary>Steps up to and with that of the start that were passed over, since they were not finite.</summary>
    public int SkippedInRow { get; init; }

    /// <summary>What every rank must know of it.</summary>
    public StepCadence Cadence => new(EndStep, EvaluateEvery, EvaluationMicroBatchCount, Changes.Count > 0 ? Changes : null);

    /// <summary>Whether an evaluation follows a step.</summary>
    public bool EvaluatesAfter(long step) => Cadence.EvaluatesAfter(step);

    /// <summary>Whether a step's gradient of that norm was scaled down.</summary>
    internal bool Clips(long step, double norm)
    {
        var clip = Changes.LastOrDefault(change => change.Setting == SettingKind.Clip && change.FromStep <= step) is { } changed ? changed.Value : Clip;
        return clip > 0 && norm > clip;
    }

    /// <summary>The plan after a change.</summary>
    internal RunPlan With(SettingChange change) => this with
    {
        EndStep = change.Setting == SettingKind.Steps ? (long)change.Value : EndStep,
        SaveEvery = change.Setting == SettingKind.SaveEvery ? (long)change.Value : SaveEvery,
        Changes = [.. Changes, change],
    };

    /// <summary>The newest step through another one after which a checkpoint was due at its interval, since that was last changed; 0 for none.</summary>
    internal long LastSaveDue(long through)
    {
        if (!Saves || SaveEvery <= 0) return 0;
        var (due, since) = (through - through % SaveEvery, Changes.LastOrDefault(static change => change.Setting == SettingKind.SaveEvery)?.FromStep ?? 0);
        return due >= since ? due : 0;
    }

    /// <summary>Whether a checkpoint follows a step.</summary>
    public bool SavesAfter(long step) => Saves && (step == EndStep || (SaveEvery > 0 && step % SaveEvery == 0));
}
