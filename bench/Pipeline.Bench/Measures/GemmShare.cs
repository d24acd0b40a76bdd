using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using TorchSharp;

namespace Pipeline.Bench.Measures;

/// <summary>
/// How much of the processor's matrix product a training step reaches: one stage, one thread. Steps and products alternate in one
/// process, so that a clock which rises or falls meets both.
/// </summary>
internal static class GemmShare
{
    private const int MicroBatchSize = 12;
    private const int ProductsPerSample = 5;
    private const int NativeSize = 256;

    // The heap grows for some steps until it has found its size; each page that it takes is cleared first.
    private const int WarmUpStepCount = 6;

    /// <summary>Measures fp32 and bf16, or the one asked for.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        var settings = options.IsQuick ? BenchModels.Tiny() : BenchModels.Gpt(6, 384, 6, 256, 8192);
        var size = options.IsQuick ? 256 : 2048;
        List<IReadOnlyList<string>> rows = [];
        foreach (var precision in new[] { Precision.Fp32, Precision.Bf16 }.Where(precision => options.Precision is null || options.Precision == precision))
            rows.AddRange(Rows(settings, precision, size, options.StepCount ?? 7));
        using var native = GemmPeak.NativeBf16(NativeSize);
        native.Rate(1);
        return new BenchReport(
            "gemm-share",
            "Share of the matrix-product peak",
            $"One unsplit trainer in one thread: {settings.Layers} layers × {settings.Width} × {settings.Heads} heads, T = {settings.Context}, micro-batch {MicroBatchSize}, "
            + $"vocabulary {settings.Vocabulary}, untied. Work of a step: {DecoderTransformer.FlopsPerToken(settings) * MicroBatchSize * settings.Context / 1e9:F0} GFLOP, "
            + $"counted as 6 × parameters used in products + 6·L·T·d a token. Peak: {size}³ products, as the library computes them, between the steps; {WarmUpStepCount} steps before, to warm up.",
            ["precision", "over", "peak GFLOP/s", "median step s", "median GFLOP/s", "share (median)", "share (best step)", "target", "verdict"],
            rows)
        {
            Remarks =
            [
                Machine.Bf16Products,
                $"The library's own bf16 product at {NativeSize}³ gives {native.Rate(3).Wall / 1e9:F2} GFLOP/s here.",
                "Share (median) is median step against median peak, share (best step) best step against best peak; the verdict goes by the median.",
            ],
        };
    }

    private static IEnumerable<IReadOnlyList<string>> Rows(ModelSettings settings, Precision precision, int size, int stepCount)
    {
        var batches = new RandomTokens(settings, 1, MicroBatchSize);
        var units = DecoderTransformer.Units(settings);
        using var model = new StageModel(units, 0, units.Count, new StageOptions(precision, torch.CPU, 1));
        var trainer = new ReferenceTrainer(model, batches, BenchModels.Optimizer);
        using var peak = GemmPeak.AsComputed(size, precision);
        TorchRuntime.UseThreads(1);
        for (var step = 1; step <= WarmUpStepCount; step++) trainer.Step(step);
        peak.Rate(1);
        List<(double Wall, double Cpu)> peaks = [peak.Rate(ProductsPerSample)];
        List<Elapsed> steps = [];
        for (var step = WarmUpStepCount + 1; step <= WarmUpStepCount + stepCount; step++)
        {
            var number = step;
            steps.Add(Elapsed.Of(() => trainer.Step(number)));
            peaks.Add(peak.Rate(ProductsPerSample));
        }

        var work = DecoderTransformer.FlopsPerToken(settings) * batches.TokensPerStep;
        yield return Row(precision, "wall time", work, [.. steps.Select(step => step.WallSeconds)], [.. peaks.Select(rate => rate.Wall)]);
        yield return Row(precision, "processor time", work, [.. steps.Select(step => step.CpuSeconds)], [.. peaks.Select(rate => rate.Cpu)]);
    }

    private static string[] Row(Precision precision, string clock, double work, double[] seconds, double[] peaks)
    {
        var target = precision == Precision.Fp32 ? 0.80 : 0.70;
        var (median, peak) = (Distribution.Median(seconds), Distribution.Median(peaks));
        var share = work / median / peak;
        return
        [
            precision == Precision.Fp32 ? "fp32" : "bf16", clock, $"{peak / 1e9:F1}", $"{median:F3}", $"{work / median / 1e9:F1}", $"{share:P1}",
            $"{work / seconds.Min() / peaks.Max():P1}", $"≥ {target:P0}", share >= target ? "met" : "missed",
        ];
    }
}
