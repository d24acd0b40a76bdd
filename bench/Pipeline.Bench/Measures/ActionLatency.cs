using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Training;

namespace Pipeline.Bench.Measures;

/// <summary>
/// How long an action whose thread was waiting for its input takes to start once the input is there: mailbox, wake-up of the thread and
/// all. Inputs that came while the thread was busy were not waited for and are left out.
/// </summary>
internal static class ActionLatency
{
    private const int WarmUpStepCount = 5;
    private const double TargetMicroseconds = 100;

    /// <summary>Measures two and four stages.</summary>
    public static async Task<BenchReport> MeasureAsync(BenchOptions options)
    {
        List<IReadOnlyList<string>> rows = [];
        foreach (var stageCount in new[] { 2, 4 }) rows.Add(await RowAsync(options, stageCount).ConfigureAwait(false));
        return new BenchReport(
            "latency",
            "From the readiness of an input to the start of its action",
            $"gpt-nano, 1F1B, one thread a stage, 8 micro-batches of 4, all stages in this process; {WarmUpStepCount} warm-up steps, then every action of the following ones.",
            ["stages", "actions", "median µs", "p90 µs", "p99 µs", "target (median)", "verdict"],
            rows)
        {
            Remarks = [$"With more stages than cores ({Environment.ProcessorCount} here) an action also waits for a core."],
        };
    }

    private static async Task<IReadOnlyList<string>> RowAsync(BenchOptions options, int stageCount)
    {
        var stepCount = options.StepCount ?? (options.IsQuick ? 5 : 60);
        var settings = options.IsQuick ? BenchModels.Tiny() : BenchModels.Nano;
        var traced = new TracedSteps();
        StepLog.ThrowUnlessCompleted(await PipelineRun.TrainAsync(
            new TrainingPlan
            {
                Units = DecoderTransformer.Units(settings),
                Batches = new RandomTokens(settings, 8, 4),
                Optimizer = BenchModels.Optimizer,
                Steps = WarmUpStepCount + stepCount,
                StageCount = stageCount,
                Recording = new RecordingDuties(0, WarmUpStepCount + 1, WarmUpStepCount + stepCount),
            },
            traced).ConfigureAwait(false));
        double[] microseconds = [.. traced.ReadyToStartSeconds.Select(seconds => seconds * 1e6)];
        var median = Distribution.Median(microseconds);
        return
        [
            $"{stageCount}", $"{microseconds.Length}", $"{median:F1}", $"{Distribution.Quantile(microseconds, 0.9):F1}", $"{Distribution.Quantile(microseconds, 0.99):F1}",
            $"< {TargetMicroseconds:F0}", median < TargetMicroseconds ? "met" : "missed",
        ];
    }
}
