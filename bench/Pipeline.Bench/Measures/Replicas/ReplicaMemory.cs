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
using static TorchSharp.torch;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// What a replica holds of each parameter between two steps where the optimizer's state, or gradients too, are shared out: by the C allocator's own figures, around replicas that have trained.
/// </summary>
internal static class ReplicaMemory
{
    private const double Tolerance = 0.05;
    private const int StepCount = 2;
    private const long BucketLength = ReductionSettings.DefaultBucketLength;

    /// <summary>Measures both stages of sharing out, in both arithmetics, with one to four replicas in this process.</summary>
    /// <exception cref="PlatformNotSupportedException">The allocator keeps no figures.</exception>
    public static BenchReport Measure(BenchOptions options)
    {
        TorchRuntime.UseThreads(1);
        var settings = options.IsQuick ? BenchModels.Tiny() : BenchModels.Gpt(6, 256, 8, 128, 2048);
        var units = DecoderTransformer.Units(settings);
        var parameterCount = units.SelectMany(unit => unit.Parameters).Sum(spec => spec.ElementCount);
        var cases = (from precision in new[] { Precision.Bf16, Precision.Fp32 } from stage in new[] { 1, 2 } from count in new[] { 1, 2, 4 } select new Case(settings, units, precision, stage, count)).ToArray();
        // The first steps of all let the libraries keep what they keep for good.
        foreach (var warmed in cases.Where(tried => tried.ReplicaCount == 2)) _ = Held(warmed);
        var found = cases.Select(tried => (Case: tried, Held: Held(tried))).ToArray();
        return new BenchReport(
            "replica-memory",
            "Memory a parameter where the optimizer's state is shared out",
            $"{settings.Layers} layers × {settings.Width}, vocabulary {settings.Vocabulary}, {parameterCount / 1e6:F2} M parameters; all replicas in this process, each with the whole model and a thread of its own, {StepCount} steps of one micro-batch. "
            + "Bytes are those that the C allocator has handed out, divided by parameters and replicas: state is what is left of them after the steps once the reduction is freed, less the memory of one bucket in which gradients take turns (stage 2); "
            + $"buckets and sums are that memory and what the reduction held. What was sent is not kept for a loss here. Wanted are {Tolerance:P0} at most from the formula.",
            ["precision", "stage", "d", "formula", "bytes a parameter", "difference", "verdict", "buckets and sums", "bytes that units own"],
            [.. found.Select(entry => Row(entry.Case, entry.Held, parameterCount))])
        {
            Remarks = [$"{found.Count(entry => IsMet(entry.Case, entry.Held, parameterCount))} of {found.Length} within {Tolerance:P0}."],
        };
    }

    private static bool IsMet(Case tried, HeldBytes held, long parameterCount) => Math.Abs(Difference(tried, held, parameterCount)) <= Tolerance;

    private static double Difference(Case tried, HeldBytes held, long parameterCount) => held.State / tried.ReplicaCount / parameterCount / tried.Expected - 1;

    private static IReadOnlyList<string> Row(Case tried, HeldBytes held, long parameterCount)
    {
        var perParameter = 1.0 / tried.ReplicaCount / parameterCount;
        return
        [
            tried.Precision == Precision.Bf16 ? "bf16" : "fp32", $"{tried.Stage}", $"{tried.ReplicaCount}", $"{tried.Formula} = {tried.Expected:F2}", $"{held.State * perParameter:F3}",
            $"{Difference(tried, held, parameterCount) * 100:+0.0;-0.0;0.0} %", IsMet(tried, held, parameterCount) ? "met" : "missed", $"{held.Reduction * perParameter:F3}", $"{held.Owned * perParameter:F3}",
        ];
    }

    /// <summary>What all replicas of a case hold together.</summary>
    private static HeldBytes Held(Case tried)
    {
        var before = InUse();
        using var replicas = new Replicas(tried);
        for (var step = 1; step <= StepCount; step++) replicas.Step(step);
        var trained = InUse();
        replicas.FreeReductions();
        var lent = tried.Stage == 2 ? tried.ReplicaCount * sizeof(float) * BucketList.Of([.. replicas.UnitLengths], BucketLength).Max(bucket => bucket.Length) : 0;
        var state = InUse() - before - lent;
        return new HeldBytes(state, trained - before - state, replicas.OwnedBytes);
    }

    /// <summary>Once nothing waits for the collector: figures would fall amid a measurement.</summary>
    private static double InUse()
    {
#pragma warning disable RS0030 // The product may not lean on the collector; a figure of what is held must not count what is not.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
#pragma warning restore RS0030
        return NativeBytes.InUse() ?? throw new PlatformNotSupportedException("The allocator's figures are glibc's, from 2.33 on.");
    }

    /// <summary>What is measured.</summary>
    /// <param name="Settings">The model.</param>
    /// <param name="Units">Its units.</param>
    /// <param name="Precision">Arithmetic.</param>
    /// <param name="Stage">1: moments and master weights are shared out, 2: gradients too.</param>
    /// <param name="ReplicaCount">Replicas.</param>
    private sealed record Case(ModelSettings Settings, IReadOnlyList<Unit> Units, Precision Precision, int Stage, int ReplicaCount)
    {
        internal double Expected => ParameterBytes.Of(Precision, ReplicaCount, Stage == 2 ? ReplicaCount : 1);

        internal string Formula => (Precision, Stage) switch
        {
            (Precision.Bf16, 1) => "6 + 12/d",
            (Precision.Bf16, _) => "2 + 16/d",
            (_, 1) => "8 + 8/d",
            _ => "4 + 12/d",
        };
    }

    /// <summary>Bytes of all replicas.</summary>
    /// <param name="State">Weights, gradients, moments, master weights, by the allocator.</param>
    /// <param name="Reduction">Buckets and sums, by the allocator.</param>
    /// <param name="Owned">The flat buffers of the units, by their lengths.</param>
    private sealed record HeldBytes(double State, double Reduction, double Owned);

    /// <summary>Replicas that train together. Owns them.</summary>
    private sealed class Replicas : IDisposable
    {
        private readonly StageModel[] _models;
        private readonly StageInbox[] _inboxes;
        private readonly ResidualStore[] _residuals;
        private readonly StageReduction[] _reductions;
        private readonly RandomTokens _batches;

        internal Replicas(Case tried)
        {
            var count = tried.ReplicaCount;
            var owners = new OptimizerOwners(tried.Units, [tried.Units.Count], count);
            _batches = new RandomTokens(tried.Settings, count, 1);
            _inboxes = [.. Enumerable.Range(0, count).Select(_ => new StageInbox())];
            _residuals = [.. _inboxes.Select(_ => new ResidualStore())];
            _models = [.. Enumerable.Range(0, count).Select(index => new StageModel(
                tried.Units, 0, tried.Units.Count, new StageOptions(tried.Precision, CPU, 1, Owns: parameter => owners[parameter] == index, FreesGradients: tried.Stage == 2)))];
            var links = new NearLinks(_inboxes);
            _reductions = [.. _models.Select((model, index) => new StageReduction(
                model, new ReplicaPlace(index, LeafShare.Even(count, count), Summation.Fast), new ReductionSettings { BucketLength = BucketLength },
                new ReplicaLinks(links, _inboxes[index], new StepRecorder(new FlightRecorder()), (replica, _) => replica), owners, _residuals[index]))];
        }

        internal IEnumerable<long> UnitLengths => _models[0].Units.Select(unit => unit.Length);

        internal double OwnedBytes => _models.Sum(model => model.Units.Sum(unit => unit.ByteCount));

        internal void Step(long step)
        {
            var key = new StepKey(HubLinks.Run, Generation.None, 0, step);
            Task.WaitAll([.. Enumerable.Range(0, _models.Length).Select(index => Task.Factory.StartNew(() => Step(index, key), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))]);
        }

        internal void FreeReductions()
        {
            foreach (var reduction in _reductions) reduction.Dispose();
        }

        /// <inheritdoc/>
        public void Dispose()
        {
            foreach (var residuals in _residuals) residuals.Dispose();
            foreach (var model in _models) model.Dispose();
        }

        private void Step(int index, StepKey key)
        {
            var (model, reduction) = (_models[index], _reductions[index]);
            using (var microBatch = _batches.Training(key.Step, index, CPU))
            {
                var pass = model.Forward(microBatch, null, PassMode.Train);
                model.Backward(pass, null, units => reduction.UnitsFinished(index, units, isLast: true, key));
            }

            reduction.Contribute(key);
            reduction.Reduce(key);
            reduction.Finish(key);
            _inboxes[index].FinishPhase(StageInbox.StepPhase(key.Step));
            model.OptimizerStep(key.Step, BenchModels.Optimizer, BenchModels.Optimizer.UnclippedFactor(_batches.TokensPerStep));
        }
    }
}
