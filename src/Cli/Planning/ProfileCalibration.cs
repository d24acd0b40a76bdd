using Pipeline.Cli.Configuration;
using Pipeline.Coordinator;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Training;

namespace Pipeline.Cli.Planning;

/// <summary>
/// Runs a real pipeline for a few steps, to learn what units measured one by one cannot say: what an action costs besides its
/// units, and how long an input that is there waits for its action to begin.
/// </summary>
internal static class ProfileCalibration
{
    private const int MicroBatchCount = 8;
    // Code that is new to the runtime is slow for its first calls.
    private const int WarmUpStepCount = 8;
    private const int MeasuredStepCount = 6;

    /// <summary>Seconds of an action besides its units, and from rank to rank; zero where there is one rank.</summary>
    /// <exception cref="InvalidOperationException">The pipeline failed; the message says how.</exception>
    public static async Task<(double ActionOverhead, double HopLatency)> MeasureAsync(
        RunSettings settings, IReadOnlyList<Unit> units, List<UnitProfile> profile, int microBatchSize)
    {
        var traced = new TracedSteps();
        var plan = new TrainingPlan
        {
            Units = units,
            Batches = new RandomBatches(settings.Model, MicroBatchCount, microBatchSize),
            Optimizer = settings.Optimizer,
            Steps = WarmUpStepCount + MeasuredStepCount,
            StageCount = Math.Min(settings.Step.StageCount, units.Count),
            Precision = settings.Arithmetic(),
            ThreadsPerStage = settings.ThreadsPerStage,
            Recording = new RecordingDuties(0, WarmUpStepCount + 1, WarmUpStepCount + MeasuredStepCount),
        };
        var layout = RunLayout.For(plan);
        var outcome = await PipelineRun.TrainAsync(plan, traced).ConfigureAwait(false);
        if (outcome.End is not RunEnd.Completed) throw new InvalidOperationException($"The pipeline of the calibration failed: {outcome.Error}");
        var stages = StageProfile.Of([.. profile], Partitioner.FromCounts(units.Count, layout.UnitCounts));
        var overheads = traced.Spans().Where(span => span.Action.Kind is ActionKind.Forward or ActionKind.Backward)
            .Select(span => span.Duration - stages.Costs.Of(span.Action)).ToArray();
        return (Math.Max(0, Median(overheads)), Median([.. traced.ReadyToStartSeconds]));
    }

    private static double Median(double[] values)
    {
        if (values.Length == 0) return 0;
        Array.Sort(values);
        return values[values.Length / 2];
    }
}
