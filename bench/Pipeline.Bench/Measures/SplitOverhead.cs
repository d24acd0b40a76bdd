using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Bench.Measures;

/// <summary>
/// What it costs to split a backward, or to recompute, on one stage in one thread: F + I + W and F + R + B against F + B. The three ways
/// alternate micro-batch by micro-batch, so that a clock which rises or falls meets all alike.
/// </summary>
internal static class SplitOverhead
{
    private const int MicroBatchSize = 4;
    private const double Target = 1.03;

    /// <summary>Measures the first and the last stage of two, in fp32 and bf16, or in the one asked for.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        var settings = options.IsQuick ? BenchModels.Tiny() : BenchModels.Gpt(8, 512, 8, 256, options.Vocabulary ?? 512);
        List<IReadOnlyList<string>> rows = [];
        foreach (var precision in new[] { Precision.Fp32, Precision.Bf16 }.Where(precision => options.Precision is null || options.Precision == precision))
        {
            foreach (var isLast in new[] { false, true }) rows.Add(Row(settings, precision, isLast, options.StepCount ?? 9));
        }

        return new BenchReport(
            "split-overhead",
            "Cost of a split backward and of recomputation",
            $"One stage of two of {settings.Layers} layers × {settings.Width} × {settings.Heads} heads, T = {settings.Context}, micro-batch {MicroBatchSize}, vocabulary {settings.Vocabulary}, "
            + "one thread. Processor time of each action, medians; ratios are medians of the ratios of neighbouring micro-batches.",
            ["stage", "precision", "F ms", "B ms", "I ms", "W ms", "R ms", "(F + I + W) ÷ (F + B)", "(F + R + B) ÷ (F + B)", "target", "verdict"],
            rows);
    }

    private static string[] Row(ModelSettings settings, Precision precision, bool isLast, int count)
    {
        TorchRuntime.UseThreads(1);
        var units = DecoderTransformer.Units(settings);
        var half = units.Count / 2;
        using var model = new StageModel(units, isLast ? half : 0, isLast ? units.Count - half : half, new StageOptions(precision, torch.CPU, 1));
        using var batch = new RandomTokens(settings, 1, MicroBatchSize).Training(1, 0, torch.CPU);
        using var boundary = torch.randn(MicroBatchSize, settings.Context, settings.Width).to(model.ActivationType);
        List<(double F, double B)> whole = [];
        List<(double F, double I, double W)> split = [];
        List<(double F, double R, double B)> recomputed = [];
        for (var round = 0; round < count + 2; round++)
        {
            whole.Add(Whole(model, batch, boundary));
            split.Add(Split(model, batch, boundary));
            recomputed.Add(Recomputed(model, batch, boundary));
        }

        // The first rounds warm up allocator and code.
        (whole, split, recomputed) = (whole[2..], split[2..], recomputed[2..]);
        var splitRatio = Distribution.Median(whole.Zip(split, (w, s) => (s.F + s.I + s.W) / (w.F + w.B)));
        var recomputedRatio = Distribution.Median(whole.Zip(recomputed, (w, r) => (r.F + r.R + r.B) / (w.F + w.B)));
        return
        [
            isLast ? "last" : "first", precision == Precision.Fp32 ? "fp32" : "bf16", Milliseconds(whole.Select(w => w.F)), Milliseconds(whole.Select(w => w.B)),
            Milliseconds(split.Select(s => s.I)), Milliseconds(split.Select(s => s.W)), Milliseconds(recomputed.Select(r => r.R)),
            $"{splitRatio:F3}", $"{recomputedRatio:F3}", $"≤ {Target:F2}", splitRatio <= Target ? "met" : "missed",
        ];
    }

    private static (double F, double B) Whole(StageModel model, MicroBatch batch, torch.Tensor boundary)
    {
        ForwardPass? pass = null;
        var forward = Elapsed.Of(() => pass = Forward(model, batch, boundary, null));
        var backward = Elapsed.Of(() => model.Backward(pass!, model.IsLast ? null : boundary)?.Dispose());
        return (forward.CpuSeconds, backward.CpuSeconds);
    }

    private static (double F, double I, double W) Split(StageModel model, MicroBatch batch, torch.Tensor boundary)
    {
        ForwardPass? pass = null;
        MicroBatchLeaf? leaf = null;
        var forward = Elapsed.Of(() => pass = Forward(model, batch, boundary, null));
        var input = Elapsed.Of(() =>
        {
            (var gradient, leaf) = model.BackwardInput(pass!, model.IsLast ? null : boundary);
            gradient?.Dispose();
        });
        var weights = Elapsed.Of(() =>
        {
            using (leaf) leaf!.Add();
        });
        return (forward.CpuSeconds, input.CpuSeconds, weights.CpuSeconds);
    }

    private static (double F, double R, double B) Recomputed(StageModel model, MicroBatch batch, torch.Tensor boundary)
    {
        ForwardPass? pass = null;
        var forward = Elapsed.Of(() => pass = Forward(model, batch, boundary, [.. Enumerable.Repeat(Recomputation.Full, model.Units.Count)]));
        var again = Elapsed.Of(() => model.Recompute(pass!));
        var backward = Elapsed.Of(() => model.Backward(pass!, model.IsLast ? null : boundary)?.Dispose());
        return (forward.CpuSeconds, again.CpuSeconds, backward.CpuSeconds);
    }

    private static ForwardPass Forward(StageModel model, MicroBatch batch, torch.Tensor boundary, IReadOnlyList<Recomputation>? recompute)
    {
        var pass = model.Forward(batch, model.IsFirst ? null : boundary, PassMode.Train, recompute: recompute);
        pass.ReleaseOutput();
        return pass;
    }

    private static string Milliseconds(IEnumerable<double> seconds) => $"{Distribution.Median(seconds) * 1e3:F1}";
}
