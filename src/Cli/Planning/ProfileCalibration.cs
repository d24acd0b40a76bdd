using Pipeline.Cli.Configuration;
using Pipeline.Coordinator;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Schedules;
using Pipeline.Training;

namespace Pipeline.Cli.Planning;

/// <summary>
/// Runs a real pipeline for a few steps, to learn what units measured one by one cannot say: what an action costs besides its
/// units, and how long an input that is there waits for its action to begin.
/// </summary>
internal sealed class ProfileCalibration
{
    private const int MicroBatchCount = 4;

    // Code that is new to the runtime is slow for its first calls. Where a step takes seconds, what it costs besides its units is next to nothing.
    private const int MostSteps = 32;
    private const int FewestSteps = 3;

    private readonly TracedSteps _traced;
    private readonly RunLayout _layout;

    private ProfileCalibration(TracedSteps traced, RunLayout layout)
    {
        _traced = traced;
        _layout = layout;
    }

    /// <summary>Runs the pipeline for about a time, between 3 and 32 steps, of which the later half is recorded.</summary>
    /// <param name="settings">The run's.</param>
    /// <param name="units">The model.</param>
    /// <param name="profile">The units' costs so far, which tell how long a step will take.</param>
    /// <param name="microBatchSize">Samples of a micro-batch.</param>
    /// <param name="budget">The time.</param>
    /// <param name="cancellation">Ends it after the step under way.</param>
    /// <exception cref="InvalidOperationException">It failed; the message says how.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static async Task<ProfileCalibration> RunAsync(RunSettings settings, IReadOnlyList<Unit> units, List<UnitProfile> profile, int microBatchSize, TimeSpan budget, CancellationToken cancellation = default)
    {
        var traced = new TracedSteps();
        var stageCount = Math.Min(settings.Step.StageCount, units.Count);
        var step = MicroBatchCount * profile.Sum(unit => unit.Forward + unit.Backward) / stageCount;
        var stepCount = (int)Math.Clamp(budget.TotalSeconds / step, FewestSteps, MostSteps);
        var plan = new TrainingPlan
        {
            Units = units,
            Batches = new RandomBatches(settings.Model, MicroBatchCount, microBatchSize),
            Optimizer = settings.Optimizer,
            Steps = stepCount,
            StageCount = stageCount,
            ReplicaCount = ReplicasHere(settings.Step.ReplicaCount, stageCount, settings.ThreadsPerStage),
            // What replicas exchange is reckoned by itself: within the last backward it would be counted once more as what an action costs besides its units.
            Reduction = new ReductionSettings { Overlaps = false },
            Precision = settings.Arithmetic(),
            ThreadsPerStage = settings.ThreadsPerStage,
            Recording = new RecordingDuties(0, (stepCount / 2) + 1, stepCount),
        };
        var layout = RunLayout.For(plan);
        var outcome = await PipelineRun.TrainAsync(plan, traced, cancellation).ConfigureAwait(false);
        cancellation.ThrowIfCancellationRequested();
        if (outcome.End is not RunEnd.Completed) throw new InvalidOperationException($"The pipeline of the calibration failed: {outcome.Error}");
        return new ProfileCalibration(traced, layout);
    }

    /// <summary>Replicas of the run, where this machine has a processor for each of their threads: they share its memory, which one alone would not show.</summary>
    private static int ReplicasHere(int replicaCount, int stageCount, int threadsPerStage) =>
        MicroBatchCount % replicaCount == 0 && replicaCount * stageCount * threadsPerStage <= Environment.ProcessorCount ? replicaCount : 1;

    /// <summary>Seconds of an action besides its units, and from rank to rank; zero where there is one rank.</summary>
    /// <param name="profile">The units for the same size of micro-batch, measured at the same time.</param>
    public (double ActionOverhead, double HopLatency) Against(List<UnitProfile> profile)
    {
        var stages = StageProfile.Of([.. profile], Partitioner.FromCounts(profile.Count, _layout.UnitCounts));
        var spans = _traced.Spans().Where(span => span.Action.Kind is ActionKind.Forward or ActionKind.Backward).ToArray();
        if (spans.Length == 0) return (0, 0);
        // Kind by kind and stage by stage: what is long in one is usual in another.
        var overhead = spans.GroupBy(span => (span.Action.Stage, span.Action.Kind))
            .Sum(same => same.Count() * (SteadyMean.Of(same.Select(span => span.Duration)) - stages.Costs.Of(same.First().Action))) / spans.Length;
        return (Math.Max(0, overhead), Median([.. _traced.ReadyToStartSeconds]));
    }

    private static double Median(double[] values)
    {
        if (values.Length == 0) return 0;
        Array.Sort(values);
        return values[values.Length / 2];
    }
}
