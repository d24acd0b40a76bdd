using System.Diagnostics;
using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// What <c>numerics.summation = invariant</c> costs one stage: time and memory of a step whose micro-batches are leaves of a tree, against
/// one that adds them where they are made. The two take turns step by step, so that a clock which rises or falls meets both alike.
/// </summary>
internal static class SummationCost
{
    private const int MicroBatchSize = 1;
    private const int WarmUpCount = 2;

    /// <summary>Measures one to sixteen micro-batches.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        TorchRuntime.UseThreads(1);
        var settings = options.IsQuick ? BenchModels.Tiny() : BenchModels.Gpt(6, 256, 8, 128, 2048);
        var stepCount = options.StepCount ?? (options.IsQuick ? 3 : 9);
        var counts = options.MicroBatchCount is { } only ? [only] : new[] { 1, 2, 4, 8, 16 };
        return new BenchReport(
            "summation",
            "Cost of sums that do not depend on the number of replicas",
            $"One stage with the whole model, {settings.Layers} layers × {settings.Width}, T = {settings.Context}, vocabulary {settings.Vocabulary}, fp32, micro-batches of {MicroBatchSize} sample, one thread, one replica. Time of forward, backward and "
            + $"sums of a step without its optimizer: medians of {stepCount} steps, ratio: median of the ratios of neighbouring steps. Memory: the most that sums under way took, in gradients of the stage; documented are up to ⌈log2 m⌉ + 1.",
            ["m", "fast ms", "invariant ms", "ratio", "gradient MiB", "buffers, in gradients", "⌈log2 m⌉ + 1"],
            [.. counts.Select(count => Row(settings, count, stepCount))]);
    }

    private static string[] Row(ModelSettings settings, int microBatchCount, int stepCount)
    {
        using var fast = new Side(settings, microBatchCount, isInvariant: false);
        using var invariant = new Side(settings, microBatchCount, isInvariant: true);
        List<(double Fast, double Invariant)> steps = [];
        for (var step = 1; step <= stepCount + WarmUpCount; step++) steps.Add((fast.Step(step), invariant.Step(step)));
        steps = steps[WarmUpCount..];
        return
        [
            $"{microBatchCount}", $"{Distribution.Median(steps.Select(step => step.Fast)) * 1e3:F1}", $"{Distribution.Median(steps.Select(step => step.Invariant)) * 1e3:F1}",
            $"{Distribution.Median(steps.Select(step => step.Invariant / step.Fast)):F3}", $"{invariant.GradientBytes / 1048576.0:F1}", $"{(double)invariant.PeakSumBytes / invariant.GradientBytes:F2}",
            $"{Math.Ceiling(Math.Log2(microBatchCount)) + 1:F0}",
        ];
    }

    /// <summary>A model that computes a step's gradients. Owns it, and what adds them up.</summary>
    private sealed class Side : IDisposable
    {
        private readonly StageModel _model;
        private readonly RandomTokens _batches;
        private readonly ResidualStore _residuals = new();
        private readonly StageInbox _inbox = new();
        private readonly StageReduction? _reduction;

        internal Side(ModelSettings settings, int microBatchCount, bool isInvariant)
        {
            var units = DecoderTransformer.Units(settings);
            _model = new StageModel(units, 0, units.Count, new StageOptions(Precision.Fp32, torch.CPU, 1));
            _batches = new RandomTokens(settings, microBatchCount, MicroBatchSize);
            if (!isInvariant) return;
            var place = new ReplicaPlace(0, LeafShare.Even(microBatchCount, 1), Summation.Invariant);
            // One replica has nobody to send to.
            var links = new ReplicaLinks(new NoLinks(), _inbox, new StepRecorder(new FlightRecorder()), (replica, _) => replica);
            _reduction = new StageReduction(_model, place, new ReductionSettings(), links, null, _residuals);
        }

        internal long GradientBytes => _model.Units.Sum(unit => unit.Gradient.numel()) * sizeof(float);

        internal long PeakSumBytes => _reduction?.PeakSumBytes ?? 0;

        /// <summary>Seconds of a step.</summary>
        internal double Step(long step)
        {
            _model.ClearGradients();
            var key = new StepKey(HubLinks.Run, Generation.None, 0, step);
            var start = Stopwatch.GetTimestamp();
            for (var index = 0; index < _batches.MicroBatchCount; index++)
            {
                using var microBatch = _batches.Training(step, index, torch.CPU);
                var pass = _model.Forward(microBatch, null, PassMode.Train);
                var (microBatchIndex, isLast) = (index, index == _batches.MicroBatchCount - 1);
                _model.Backward(pass, null, _reduction is { } reduction ? units => reduction.UnitsFinished(microBatchIndex, units, isLast, key) : null);
            }

            _reduction?.Contribute(key);
            _reduction?.Reduce(key);
            _reduction?.Finish(key);
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        /// <inheritdoc/>
        public void Dispose()
        {
            _reduction?.Dispose();
            _residuals.Dispose();
            _model.Dispose();
        }
    }
}
