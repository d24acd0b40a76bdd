using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using Pipeline.Tests.Model;
using Pipeline.Tests.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Replicas of one stage that add their gradients up, each on a thread of its own, without actors.</summary>
public sealed partial class StageReductionTests
{
    private const int MicroBatchCount = 6;

    public static TheoryData<int, Summation, ReductionTopology> Cases
    {
        get
        {
            TheoryData<int, Summation, ReductionTopology> cases = [];
            foreach (var summation in Enum.GetValues<Summation>())
            {
                foreach (var count in new[] { 1, 2, 3, 4, 8 })
                {
                    cases.Add(count, summation, ReductionTopology.Sharded);
                    cases.Add(count, summation, ReductionTopology.Hierarchical);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void All_replicas_end_with_the_bits_of_the_tree(int count, Summation summation, ReductionTopology topology)
    {
        var settings = new ReductionSettings { Topology = topology, BucketLength = 5000, GroupSize = 2, PieceLength = 1000 };
        using var replicas = new Replicas(count, summation, settings);
        var expected = replicas.Expected();
        for (var step = 1; step <= 2; step++)
        {
            replicas.Reduce(step);
            Assert.All(replicas.Gradients(), gradient => Assert.True(expected.AsSpan().SequenceEqual(gradient)));
        }
    }

    [Theory]
    [InlineData(CompressionKind.BFloat16, 0.008)]
    [InlineData(CompressionKind.Int8, 0.02)]
    [InlineData(CompressionKind.Int4, 0.2)]
    [InlineData(CompressionKind.TopK, double.PositiveInfinity)]
    [InlineData(CompressionKind.PowerSgd, double.PositiveInfinity)]
    public void Compressed_both_ways_all_replicas_hold_the_same_bits_near_the_sum(CompressionKind kind, double share)
    {
        var compression = new CompressionSettings { Kind = kind, WarmupSteps = 1 };
        var settings = new ReductionSettings { BucketLength = 5000, Contributions = compression, Answers = compression, PieceLength = 1024 };
        using var replicas = new Replicas(3, Summation.Fast, settings);
        var exact = replicas.Expected();
        replicas.Reduce(1);
        Assert.All(replicas.Gradients(), gradient => Assert.True(exact.AsSpan().SequenceEqual(gradient)));
        replicas.Reduce(2);
        var first = replicas.Gradients().First();
        Assert.All(replicas.Gradients(), gradient => Assert.True(first.AsSpan().SequenceEqual(gradient)));
        Assert.False(exact.AsSpan().SequenceEqual(first));
        var largest = exact.Max(value => Math.Abs(value));
        for (var index = 0; index < exact.Length; index++) Assert.InRange(first[index] - exact[index], -share * largest, share * largest);
        // A kind that leaves elements out, or projects, loses at most what it was given: the replicas' sums, and once more their sum.
        Assert.InRange(Norm(first.Zip(exact, (left, right) => left - right)), 0, 2 * replicas.OwnNorms().Sum());

        static double Norm(IEnumerable<float> values) => Math.Sqrt(values.Sum(value => (double)value * value));
    }

    [Theory]
    [InlineData(CompressionKind.Int4)]
    [InlineData(CompressionKind.TopK)]
    [InlineData(CompressionKind.PowerSgd)]
    public void Replicas_that_start_from_copies_go_on_with_what_compression_had_lost(CompressionKind kind)
    {
        var compression = new CompressionSettings { Kind = kind };
        var settings = new ReductionSettings { BucketLength = 5000, Contributions = compression, Answers = compression };
        using var replicas = new Replicas(2, Summation.Fast, settings);
        using var forgetful = new Replicas(2, Summation.Fast, settings);
        for (var step = 1; step <= 3; step++) replicas.Reduce(step);
        var copies = replicas.Copies(3);
        using var restored = new Replicas(2, Summation.Fast, settings, copies);
        foreach (var copy in copies) copy.Dispose();
        foreach (var set in new[] { replicas, restored, forgetful }) set.Reduce(4);
        var expected = replicas.Gradients().First();
        Assert.All(restored.Gradients(), gradient => Assert.True(expected.AsSpan().SequenceEqual(gradient)));
        Assert.False(expected.AsSpan().SequenceEqual(forgetful.Gradients().First()));
    }

    /// <summary>Models that hold the same units, with inboxes that their links end in.</summary>
    private sealed class Replicas : IDisposable
    {
        private readonly StageModel[] _models;
        private readonly StageInbox[] _inboxes;
        private readonly StageReduction[] _reductions;
        private readonly ResidualStore[] _residuals;
        private readonly IReadOnlyList<LeafShare> _shares;
        private readonly Summation _summation;

        internal Replicas(int count, Summation summation, ReductionSettings settings, IReadOnlyList<StateCopy>? copies = null, Func<int, StageInbox[], IStageLinks>? links = null)
        {
            TorchRuntime.Initialize();
            _summation = summation;
            _shares = LeafShare.Even(MicroBatchCount, count);
            _models = [.. Enumerable.Range(0, count).Select(_ => TinyModels.Whole(TinyModels.Settings(layers: 1)))];
            _inboxes = [.. _models.Select(_ => new StageInbox())];
            _residuals = [.. _models.Select(_ => new ResidualStore())];
            for (var index = 0; index < copies?.Count; index++) _residuals[index].Load([copies[index]]);
            _reductions = [.. _models.Select((model, index) => new StageReduction(
                model, new ReplicaPlace(index, _shares, summation), settings, new ReplicaLinks(links?.Invoke(index, _inboxes) ?? new DirectLinks(_inboxes), _inboxes[index], new StepRecorder(new FlightRecorder()), (replica, _) => replica), null, _residuals[index]))];
        }

        /// <summary>What the sum must be, by the accumulator alone.</summary>
        internal float[] Expected()
        {
            var length = Leaf(0).Length;
            var leaves = _summation == Summation.Invariant
                ? Enumerable.Range(0, MicroBatchCount).Select(Leaf).ToArray()
                : [.. _shares.Select(share => Enumerable.Range(share.First, share.Count).Select(Leaf).Aggregate(new float[length], (sum, leaf) => [.. sum.Zip(leaf, (left, right) => left + right)]))];
            using var sums = new TreeAccumulator(new SummationTree(leaves.Length), length);
            for (var leaf = 0; leaf < leaves.Length; leaf++) sums.Add(leaf, leaves[leaf]);
            var expected = new float[length];
            sums.TakeRoot(expected);
            return expected;
        }

        /// <summary>The norm of what each replica computes by itself.</summary>
        internal IEnumerable<double> OwnNorms() => _shares.Select(share =>
        {
            var sum = new float[Leaf(0).Length];
            for (var index = 0; index < share.Count; index++) SpanSum.Add(Leaf(share.First + index), sum, sum);
            return Math.Sqrt(sum.Sum(value => (double)value * value));
        });

        internal void Reduce(long step)
        {
            var key = new StepKey(TestLinks.Run, Generation.None, 0, step);
            Task.WaitAll([.. Enumerable.Range(0, _models.Length).Select(replica => Task.Factory.StartNew(() => Reduce(replica, key), TaskCreationOptions.LongRunning))]);
        }

        internal IEnumerable<float[]> Gradients() => _models.Select(model => model.Units.SelectMany(unit => Floats(unit).ToArray()).ToArray());

        internal StateCopy[] Copies(long step) =>
            [.. _models.Select((model, index) => StateCopy.Of(new CopyId(default, Generation.First, index, step), [model], _residuals[index], CopyMemory.None))];

        public void Dispose()
        {
            foreach (var reduction in _reductions) reduction.Dispose();
            foreach (var residuals in _residuals) residuals.Dispose();
            foreach (var model in _models) model.Dispose();
        }

        private void Reduce(int replica, StepKey key)
        {
            Compute(replica, key);
            Finish(replica, key);
        }

        /// <summary>Everything of a step before its sums are waited for.</summary>
        internal void Compute(int replica, StepKey key)
        {
            var model = _models[replica];
            model.ClearGradients();
            for (var index = 0; index < _shares[replica].Count; index++)
            {
                var (leaf, place) = (Leaf(_shares[replica].First + index), 0);
                foreach (var unit in model.Units)
                {
                    var gradient = Floats(unit);
                    SpanSum.Add(gradient, leaf.AsSpan(place, gradient.Length), gradient);
                    place += gradient.Length;
                }

                // As a backward does: the last units first, in pieces that need not be the buckets'.
                for (var unit = model.Units.Count; unit > 0; unit -= 2)
                {
                    _reductions[replica].UnitsFinished(_shares[replica].First + index, Math.Max(0, unit - 2)..unit, index == _shares[replica].Count - 1, key);
                    _reductions[replica].Proceed(key);
                }
            }

            _reductions[replica].Contribute(key);
        }

        internal void Proceed(int replica, StepKey key) => _reductions[replica].Proceed(key);

        internal void Finish(int replica, StepKey key)
        {
            _reductions[replica].Reduce(key);
            _reductions[replica].Finish(key);
            _inboxes[replica].FinishPhase(StageInbox.StepPhase(key.Step));
        }

        private float[] Leaf(int microBatch)
        {
            var leaf = new float[_models[0].Units.Sum(unit => (int)unit.Gradient.numel())];
            for (var index = 0; index < leaf.Length; index++) leaf[index] = (float)(Philox.Open(Philox.Draw(3, (uint)index, (uint)microBatch, 0).A) - 0.5);
            return leaf;
        }

        private static Span<float> Floats(Pipeline.Model.Units.UnitState unit) => MemoryMarshal.Cast<byte, float>(unit.Gradient.bytes);
    }
}
