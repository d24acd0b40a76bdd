using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Training;

namespace Pipeline.Bench.Measures;

/// <summary>
/// E: tokens a second of a pipeline of two stages with one thread each ÷ those of two unsplit one-thread trainers at the same time.
/// At most m ÷ (m + p − 1): the rest is the bubble that the schedule itself has.
/// </summary>
internal static class PipelineEfficiency
{
    private const int StageCount = 2;
    private const int MicroBatchSize = 4;

    // Few micro-batches: short steps, of which more are needed.
    private static readonly (Precision Precision, int MicroBatchCount, int PairCount)[] s_plan =
    [
        (Precision.Fp32, 4, 2), (Precision.Fp32, 8, 2), (Precision.Bf16, 4, 3), (Precision.Bf16, 8, 3), (Precision.Bf16, 16, 3), (Precision.Bf16, 32, 1),
    ];

    /// <summary>Measures every configuration, or those asked for.</summary>
    public static async Task<BenchReport> MeasureAsync(BenchOptions options)
    {
        List<IReadOnlyList<string>> rows = [];
        foreach (var vocabulary in options.Vocabulary is { } one ? [one] : new[] { 512, 8192 })
        {
            var settings = options.IsQuick ? BenchModels.Tiny(vocabulary) : BenchModels.Gpt(8, 512, 8, 256, vocabulary);
            foreach (var (precision, microBatchCount, pairCount) in Wanted(options))
                rows.Add(await RowAsync(settings, precision, microBatchCount, options.PairCount ?? pairCount).ConfigureAwait(false));
        }

        return new BenchReport(
            "efficiency",
            "Efficiency of a pipeline of two stages",
            "8 layers × 512 × 8 heads, T = 256, micro-batch 4, untied, 1F1B, one thread a stage. E = tokens/s of the pipeline ÷ the sum of tokens/s of two unsplit "
            + "one-thread trainers at the same time; bound = m ÷ (m + p − 1). Each in turn, the pipeline first: one step to warm up, then two (from m = 8 on one) that count; "
            + "medians of the pairs' figures.",
            ["vocabulary", "precision", "m", "units", "pairs", "pipeline tok/s", "unsplit tok/s", "E", "bound", "E ÷ bound", "pairs' range", "idle share", "target", "verdict"],
            rows)
        {
            Remarks = [Machine.Bf16Products, "Idle share is measured: 1 − busy time of the ranks ÷ their step time. Under the schedule alone it would be 1 − bound."],
        };
    }

    private static IEnumerable<(Precision Precision, int MicroBatchCount, int PairCount)> Wanted(BenchOptions options) => s_plan
        .Where(entry => options.Precision is null || entry.Precision == options.Precision)
        .Where(entry => options.MicroBatchCount is null || entry.MicroBatchCount == options.MicroBatchCount);

    private static async Task<IReadOnlyList<string>> RowAsync(ModelSettings settings, Precision precision, int microBatchCount, int pairCount)
    {
        List<PairResult> pairs = [];
        for (var pair = 0; pair < pairCount; pair++) pairs.Add(await PairAsync(settings, precision, microBatchCount).ConfigureAwait(false));
        var bound = microBatchCount / (microBatchCount + StageCount - 1.0);
        var efficiency = Distribution.Median(pairs.Select(pair => pair.Efficiency));
        var target = settings.Vocabulary > 512 ? 0.90 : 0.95;
        var name = precision == Precision.Fp32 ? "fp32" : "bf16";
        Console.WriteLine($"vocabulary {settings.Vocabulary}, {name}, m = {microBatchCount}: E ÷ bound = {efficiency / bound:F3}");
        return
        [
            $"{settings.Vocabulary}", name, $"{microBatchCount}", pairs[0].Units, $"{pairCount}",
            $"{Distribution.Median(pairs.Select(pair => pair.PipelineRate)):F1}", $"{Distribution.Median(pairs.Select(pair => pair.UnsplitRate)):F1}",
            $"{efficiency:F3}", $"{bound:F3}", $"{efficiency / bound:F3}", $"{pairs.Min(pair => pair.Efficiency) / bound:F3} to {pairs.Max(pair => pair.Efficiency) / bound:F3}",
            $"{Distribution.Median(pairs.Select(pair => pair.IdleShare)):P1}", $"≥ {target:F2}", efficiency / bound >= target ? "met" : "missed",
        ];
    }

    private static async Task<PairResult> PairAsync(ModelSettings settings, Precision precision, int microBatchCount)
    {
        var stepCount = microBatchCount < 8 ? 2 : 1;
        var batches = new RandomTokens(settings, microBatchCount, MicroBatchSize);
        var plan = new TrainingPlan
        {
            Units = DecoderTransformer.Units(settings), Batches = batches, Optimizer = BenchModels.Optimizer, Steps = stepCount + 1, StageCount = StageCount, Precision = precision,
        };
        var log = new StepLog();
        StepLog.ThrowUnlessCompleted(await PipelineRun.TrainAsync(plan, log).ConfigureAwait(false));
        StepSummary[] steps = [.. log.Steps.Skip(1)];
        var unsplit = await UnsplitPair.TokensPerSecondAsync(plan.Units, batches, plan.Optimizer, precision, batches.TokensPerStep, stepCount).ConfigureAwait(false);
        return new PairResult(
            steps.Sum(step => step.TokenCount) / steps.Sum(step => step.Seconds), unsplit, steps.Average(step => step.Bubble), string.Join('+', RunLayout.For(plan).UnitCounts));
    }

    private sealed record PairResult(double PipelineRate, double UnsplitRate, double IdleShare, string Units)
    {
        public double Efficiency => PipelineRate / UnsplitRate;
    }
}
