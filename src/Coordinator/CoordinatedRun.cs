using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>Gives the actor of a rank: made under the coordinator's context, or one that lives elsewhere.</summary>
/// <param name="context">The coordinator's context; what is made in it is supervised by it.</param>
/// <param name="rank">Rank.</param>
public delegate IActorRef StageLocator(IActorRefFactory context, int rank);

/// <summary>Everything that a coordinator must know of a run.</summary>
public sealed record CoordinatedRun
{
    /// <summary>Names the run on the wire.</summary>
    public required RunId Run { get; init; }

    /// <summary>Steps, evaluations, checkpoints.</summary>
    public required RunPlan Plan { get; init; }

    /// <summary>Units of each stage, in model order.</summary>
    public required IReadOnlyList<int> UnitCounts { get; init; }

    /// <summary>The training schedule with its step's end, in text form.</summary>
    public required string Schedule { get; init; }

    /// <summary>Ranks of the schedule.</summary>
    public required int RankCount { get; init; }

    /// <summary>How tensors travel.</summary>
    public TensorLinkKind Links { get; init; } = TensorLinkKind.Automatic;

    /// <summary>What stages record.</summary>
    public RecordingDuties Recording { get; init; } = RecordingDuties.None;

    /// <summary>The run's resolved settings as text, for stages in processes of their own.</summary>
    public string Configuration { get; init; } = "";

    /// <summary>Where the actors of the ranks are.</summary>
    public required StageLocator Stages { get; init; }

    /// <summary>Makes and prunes checkpoints; null where none are kept.</summary>
    public CheckpointKeeper? Keeper { get; init; }

    /// <summary>Waits between failed saves.</summary>
    public SaveRetry Retry { get; init; } = SaveRetry.Default;

    /// <summary>How long stages may take to stop before the run is called over without them.</summary>
    public TimeSpan StopPatience { get; init; } = TimeSpan.FromSeconds(60);

    internal PipelineLayout Layout(Generation generation, IReadOnlyList<RankPlace> ranks) =>
        new(Run, generation, Generation.First, UnitCounts, Schedule, ranks, Links, new StepCadence(Plan.EndStep, Plan.EvaluateEvery, Plan.EvaluationMicroBatchCount), ProtectionDuties.None, Configuration);
}

/// <summary>Turns written parts into a checkpoint. Blocks on the disk: called on a task, never by an actor.</summary>
/// <param name="store">Where checkpoints lie.</param>
/// <param name="describe">What the run says of its state after a step.</param>
/// <param name="keepCount">Checkpoints kept, at least 1.</param>
/// <param name="texts">Small files that go into every checkpoint, by name, such as the configuration.</param>
public sealed class CheckpointKeeper(
    ICheckpointStore store,
    Func<long, CheckpointDescription> describe,
    int keepCount,
    IReadOnlyDictionary<string, string>? texts = null)
{
    /// <summary>Writes index and manifest; the checkpoint exists from then on. Older ones are pruned.</summary>
    /// <returns>Bytes of its files, and why older ones could not be removed, if so.</returns>
    /// <exception cref="CheckpointException">Disk full, folder not writable, or the like.</exception>
    internal (long ByteCount, string? Warning) Commit(SaveAttempt attempt, IReadOnlyList<StoredFile> files)
    {
        var extra = (texts ?? new Dictionary<string, string>(StringComparer.Ordinal)).Select(text => store.WriteText(attempt, text.Key, text.Value));
        var manifest = store.Commit(attempt, describe(attempt.Step), [.. files, .. extra]);
        return (manifest.Files.Sum(file => file.ByteCount), Prune());
    }

    private string? Prune()
    {
        try
        {
            store.Prune(keepCount);
            return null;
        }
        catch (CheckpointException fault)
        {
            return fault.Message;
        }
    }

    /// <summary>Removes what a failed attempt has left.</summary>
    internal void Abandon(SaveAttempt attempt) => store.Abandon(attempt);
}
