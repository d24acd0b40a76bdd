using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;
using Pipeline.Model;
using Pipeline.Training;
using TorchSharp;

namespace Pipeline.Bench.Measures;

/// <summary>Whether a long run keeps its size: resident memory and live tensors over some hundred steps.</summary>
internal static class Soak
{
    private const int WarmUpStepCount = 100;
    private const int SampleEvery = 50;

    // Less than one leaked activation of this model in each of the steps after the warm-up.
    private const double AllowedGrowthMebibytes = 8;

    /// <summary>Trains a small pipeline of two stages.</summary>
    public static async Task<BenchReport> MeasureAsync(BenchOptions options)
    {
        var settings = BenchModels.Tiny();
        var before = torch.Tensor.TotalCount;
        var log = new StepLog(SampleEvery);
        StepLog.ThrowUnlessCompleted(await PipelineRun.TrainAsync(
            new TrainingPlan
            {
                Units = DecoderTransformer.Units(settings),
                Batches = new RandomTokens(settings, 4, 4),
                Optimizer = BenchModels.Optimizer,
                Steps = options.StepCount ?? 500,
                StageCount = 2,
            },
            log).ConfigureAwait(false));
        var left = torch.Tensor.TotalCount - before;
        return new BenchReport(
            "soak",
            "Size of the process over a long run",
            $"Two stages, 1F1B, {settings.Layers} layers × {settings.Width}, T = {settings.Context}, 4 micro-batches of 4. "
            + "Live tensors: the least that any rank counted at the end of the step, for the others work on meanwhile.",
            ["step", "resident MiB", "live tensors"],
            [.. log.Samples.Select(sample => (IReadOnlyList<string>)[$"{sample.Step}", $"{Mebibytes(sample.ResidentBytes):F1}", $"{sample.LiveTensorCount}"])])
        {
            Remarks = [Verdict(log.Samples), $"Tensors alive after the run beyond those before it: {left}."],
        };
    }

    private static string Verdict(IReadOnlyList<ProcessSample> samples)
    {
        ProcessSample[] warm = [.. samples.Where(sample => sample.Step >= WarmUpStepCount)];
        if (warm.Length < 2) return $"Too few steps to judge: at least {WarmUpStepCount + SampleEvery} are needed.";
        var growth = Mebibytes(warm[^1].ResidentBytes - warm[0].ResidentBytes);
        var spread = warm.Max(sample => sample.LiveTensorCount) - warm.Min(sample => sample.LiveTensorCount);
        var rises = warm[^1].LiveTensorCount - warm[0].LiveTensorCount;
        return $"From step {warm[0].Step} to {warm[^1].Step}: resident size {growth:+0.0;-0.0;0.0} MiB (allowed {AllowedGrowthMebibytes:F0}), "
            + $"live tensors {rises:+0;-0;0} (spread {spread}): {(growth <= AllowedGrowthMebibytes && rises <= spread / 2 ? "flat" : "not flat")}.";
    }

    private static double Mebibytes(long bytes) => bytes / (1024.0 * 1024.0);
}
