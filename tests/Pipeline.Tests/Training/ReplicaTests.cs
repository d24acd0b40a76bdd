using System.Collections.Concurrent;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;
using Pipeline.Tests.Runs;
using Pipeline.Training;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Replicas of the pipeline under one coordinator.</summary>
[Collection(PipelineCollection.Name)]
public sealed class ReplicaTests(PipelineFixture fixture)
{
    private const int MicroBatchCount = 12;

    /// <summary>Half a unit in the last place of fp32.</summary>
    private const double UnitRoundoff = 1.0 / (1 << 24);

    private static readonly ConcurrentDictionary<int, IReadOnlyList<ReferenceStep>> s_invariant = new();
    private static readonly ConcurrentDictionary<int, IReadOnlyList<ReferenceStep>> s_fast = new();

    public static TheoryData<int, int> Shapes
    {
        get
        {
            TheoryData<int, int> shapes = [];
            foreach (var replicaCount in new[] { 1, 2, 3, 4 })
            {
                foreach (var stageCount in new[] { 1, 2 }) shapes.Add(replicaCount, stageCount);
            }

            return shapes;
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task Invariant_sums_are_those_of_the_unsplit_model_to_the_bit_for_any_number_of_replicas(int replicaCount, int stageCount)
    {
        foreach (var topology in Topologies(replicaCount))
        {
            var plan = Plan(replicaCount, stageCount, topology) with { Summation = Summation.Invariant };
            plan = plan with { Reduction = plan.Reduction with { PieceLength = 1024 } };
            TinyRun.AssertEqual(InvariantReference(MicroBatchCount), await fixture.StepsOf(plan));
        }
    }

    [Fact]
    public async Task Eight_replicas_give_the_same_bits_as_one_also_when_everything_is_serialized()
    {
        var plan = Plan(8, 1, ReductionTopology.Sharded, 24) with { Summation = Summation.Invariant };
        TinyRun.AssertEqual(InvariantReference(24), await fixture.StepsOf(plan));
        var serialized = Plan(2, 2, ReductionTopology.Sharded, 24) with { Summation = Summation.Invariant, Links = TensorLinkKind.Frames };
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Serializing, serialized);
        TinyRun.AssertEqual(InvariantReference(24), notices.Steps);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task Fast_sums_have_the_same_bits_in_every_topology_and_number_of_stages_and_stay_within_the_bound(int replicaCount, int stageCount)
    {
        var sharded = await fixture.StepsOf(Plan(replicaCount, stageCount, ReductionTopology.Sharded));
        var others = Topologies(replicaCount).Skip(1).Select(topology => Plan(replicaCount, stageCount, topology));
        if (stageCount == 1) others = others.Append(Plan(replicaCount, 2, ReductionTopology.Sharded));
        foreach (var other in others)
        {
            // Cut into pieces or not, a bucket has the same sums.
            foreach (var (left, right) in sharded.Zip(await fixture.StepsOf(other with { Reduction = other.Reduction with { PieceLength = 1024 } })))
            {
                Assert.Equal(BitConverter.DoubleToInt64Bits(left.Loss), BitConverter.DoubleToInt64Bits(right.Loss));
                Assert.Equal(BitConverter.DoubleToInt64Bits(left.GradientNorm), BitConverter.DoubleToInt64Bits(right.GradientNorm));
                Assert.Equal(left.Digests, right.Digests);
            }
        }

        var reference = TinyRun.Reference(MicroBatchCount, tied: true, Precision.Fp32)[0].Result;
        Assert.Equal(BitConverter.DoubleToInt64Bits(reference.Loss), BitConverter.DoubleToInt64Bits(sharded[0].Loss));
        Assert.InRange(sharded[0].GradientNorm - reference.GradientNorm, -Bound(replicaCount) / reference.TokenCount, Bound(replicaCount) / reference.TokenCount);
        // In the same order of addition the unsplit model has the same bits.
        TinyRun.AssertEqual(s_fast.GetOrAdd(replicaCount, count => TinyRun.Train(TinyRun.Plan(1, MicroBatchCount) with { ReplicaCount = count })), sharded);
    }

    [Theory]
    [InlineData(2, 1, Precision.Fp32, Summation.Fast, "1f1b")]
    [InlineData(3, 2, Precision.Bf16, Summation.Fast, "1f1b")]
    [InlineData(2, 2, Precision.Fp32, Summation.Fast, "zb-h1")]
    [InlineData(3, 1, Precision.Bf16, Summation.Invariant, "1f1b")]
    [InlineData(4, 2, Precision.Fp32, Summation.Invariant, "interleaved-1f1b")]
    public async Task Gradients_that_are_freed_as_they_are_reduced_are_those_of_the_unsplit_model(int replicaCount, int stageCount, Precision precision, Summation summation, string schedule)
    {
        foreach (var tied in new[] { true, false })
        {
            var plan = TinyRun.Plan(stageCount, MicroBatchCount, tied, precision) with
            {
                ReplicaCount = replicaCount, Summation = summation, Schedule = schedule, SharesOptimizer = true, SharesGradients = true, Reduction = new ReductionSettings { BucketLength = 4000 },
            };
            var reference = TinyRun.Train(TinyRun.Plan(1, MicroBatchCount, tied, precision) with { ReplicaCount = replicaCount, Summation = summation, SharesGradients = true });
            TinyRun.AssertEqual(reference, await fixture.StepsOf(plan));
            if (summation == Summation.Invariant && tied && precision == Precision.Fp32) TinyRun.AssertEqual(InvariantReference(MicroBatchCount), reference.Select(Summary));
        }
    }

    [Fact]
    public async Task Freed_gradients_go_with_recomputation_and_with_compression_that_is_resumed()
    {
        var plan = TinyRun.Plan(2, MicroBatchCount) with { ReplicaCount = 2, SharesOptimizer = true, SharesGradients = true, Reduction = new ReductionSettings { BucketLength = 4000 } };
        var recomputing = plan with { ScheduleText = ScheduleText.Format(RecomputePass.Apply(ScheduleCatalog.Generate("1f1b", 2, MicroBatchCount / 2), [0, 1])) };
        TinyRun.AssertEqual(TinyRun.Train(TinyRun.Plan(1, MicroBatchCount) with { ReplicaCount = 2, SharesGradients = true }), await fixture.StepsOf(recomputing));
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var compressed = plan with { Reduction = plan.Reduction with { Contributions = new CompressionSettings { Kind = CompressionKind.Int4, Rounding = Rounding.Stochastic } } };
        var whole = await fixture.StepsOf(compressed);
        var saved = compressed with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(saved with { Steps = 3 });
        Assert.Equal(whole.Select(TinyRun.BitsOf), begun.Concat(await fixture.StepsOf(saved with { ResumeFromStep = 3 })).Select(TinyRun.BitsOf));
    }

    [Fact]
    public async Task A_compressed_run_goes_on_from_a_checkpoint_with_what_had_been_lost()
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var compression = new CompressionSettings { Kind = CompressionKind.Int4 };
        var plan = Plan(2, 2, ReductionTopology.Sharded);
        plan = plan with { Reduction = plan.Reduction with { Contributions = compression, Answers = compression } };
        var whole = await fixture.StepsOf(plan);
        var saved = plan with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(saved with { Steps = 3 });
        var ended = await fixture.StepsOf(saved with { ResumeFromStep = 3 });
        Assert.Equal(whole.Select(TinyRun.BitsOf), begun.Concat(ended).Select(TinyRun.BitsOf));
    }

    [Theory]
    [InlineData(1, false, "no action")]
    [InlineData(2, true, "S and A")]
    public void A_schedule_whose_own_exchange_is_not_the_runs_is_refused(int replicaCount, bool sharesOptimizer, string wanted)
    {
        var plan = TinyRun.Plan(2, MicroBatchCount) with { ReplicaCount = 2 };
        var given = RunLayout.For(plan).Schedule;
        var text = ScheduleText.Format(given);
        Assert.Equal(given, RunLayout.For(plan with { ScheduleText = text }).Schedule);
        var other = plan with { ScheduleText = text, ReplicaCount = replicaCount, SharesOptimizer = sharesOptimizer, Batches = new SyntheticBatches(replicaCount * MicroBatchCount / 2) };
        Assert.Contains($"by S and G, the run by {wanted}", Assert.Throws<ScheduleException>(() => RunLayout.For(other)).Message, StringComparison.Ordinal);
        var untied = plan with { ScheduleText = text, Units = TinyRun.Plan(2, 4, tied: false).Units };
        Assert.Contains("adds tied gradients up on the stages [0, 1]", Assert.Throws<ScheduleException>(() => RunLayout.For(untied)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(CompressionKind.Int4)]
    [InlineData(CompressionKind.PowerSgd)]
    public async Task A_reducer_beside_the_replicas_keeps_what_its_answers_lost_in_checkpoints(CompressionKind kind)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var compression = new CompressionSettings { Kind = kind };
        var plan = Plan(3, 2, ReductionTopology.Coordinator);
        plan = plan with { Reduction = plan.Reduction with { Contributions = compression, Answers = compression } };
        var whole = await fixture.StepsOf(plan);
        var saved = plan with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(saved with { Steps = 3 });
        var ended = await fixture.StepsOf(saved with { ResumeFromStep = 3 });
        Assert.Equal(whole.Select(step => BitConverter.DoubleToInt64Bits(step.Loss)), begun.Concat(ended).Select(step => BitConverter.DoubleToInt64Bits(step.Loss)));
        // Rank 6 + s adds up for the stages of rank s of each replica, and says what it answered.
        Assert.Equal(Enumerable.Range(0, 8), whole[0].Ranks.Select(rank => rank.Rank));
        Assert.All(whole[^1].Ranks, rank => Assert.True(rank.Timing.ExchangedBytes > 0));
    }

    [Theory]
    [InlineData("1f1b", false)]
    [InlineData("zb-v", true)]
    [InlineData("interleaved-1f1b", true)]
    public async Task Schedules_that_split_or_interleave_reduce_to_the_same_bits_with_and_without_overlap(string schedule, bool overlaps)
    {
        var plan = Plan(2, 2, ReductionTopology.Sharded) with { Summation = Summation.Invariant, Schedule = schedule };
        TinyRun.AssertEqual(InvariantReference(MicroBatchCount), await fixture.StepsOf(plan with { Reduction = plan.Reduction with { Overlaps = overlaps } }));
        TinyRun.AssertEqual(InvariantReference(MicroBatchCount), await fixture.StepsOf(plan with { Reduction = plan.Reduction with { Overlaps = overlaps, Topology = ReductionTopology.Coordinator } }));
    }

    [Theory]
    [InlineData(4, 1)]
    [InlineData(1, 3)]
    public async Task A_run_goes_on_with_another_number_of_replicas_as_if_nothing_had_been(int before, int after)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var saving = new CheckpointPlan(store, RunTests.Describe);
        var first = Plan(before, 2, ReductionTopology.Sharded) with { Summation = Summation.Invariant, Steps = 2, Checkpoints = saving };
        var begun = await fixture.StepsOf(first);
        var second = Plan(after, 1, ReductionTopology.Sharded) with { Summation = Summation.Invariant, ResumeFromStep = 2, Checkpoints = saving };
        TinyRun.AssertEqual(InvariantReference(MicroBatchCount), [.. begun, .. await fixture.StepsOf(second)]);
        TinyRun.AssertHolds(store, second, InvariantReference(MicroBatchCount)[^1]);
    }

    [Theory]
    [InlineData(CompressionKind.Int8)]
    [InlineData(CompressionKind.Int4)]
    public async Task A_compressed_run_learns_as_the_uncompressed_one_does(CompressionKind kind)
    {
        var compression = new CompressionSettings { Kind = kind };
        var plain = Plan(2, 2, ReductionTopology.Sharded) with { Steps = 12 };
        var exact = await fixture.StepsOf(plain);
        var compressed = await fixture.StepsOf(plain with { Reduction = plain.Reduction with { Contributions = compression, Answers = compression } });
        Assert.NotEqual(exact[^1].Loss, compressed[^1].Loss);
        // Twelve steps of a tiny model: far closer to each other than to where they began.
        Assert.InRange(compressed[^1].Loss - exact[^1].Loss, -0.1 * (exact[0].Loss - exact[^1].Loss), 0.1 * (exact[0].Loss - exact[^1].Loss));
    }

    [Fact]
    public async Task A_run_with_quantised_activations_learns_and_is_the_same_wherever_its_stages_lie()
    {
        var plan = TinyRun.Plan(3, 4) with { Steps = 12, Reduction = new ReductionSettings { Activations = new CompressionSettings { Kind = CompressionKind.Int8, ErrorFeedback = false } } };
        var exact = await fixture.StepsOf(plan with { Reduction = new ReductionSettings() });
        var quantised = await fixture.StepsOf(plan);
        var (_, serialized) = await PipelineFixture.RunAsync(fixture.Serializing, plan with { Links = TensorLinkKind.Frames });
        Assert.Equal(quantised.Select(step => (step.Loss, step.GradientNorm)), serialized.Steps.Select(step => (step.Loss, step.GradientNorm)));
        Assert.NotEqual(exact[^1].Loss, quantised[^1].Loss);
        Assert.InRange(quantised[^1].Loss - exact[^1].Loss, -0.1 * (exact[0].Loss - exact[^1].Loss), 0.1 * (exact[0].Loss - exact[^1].Loss));
    }

    [Fact]
    public async Task Second_moments_that_are_frozen_stay_and_the_unsplit_model_freezes_them_alike()
    {
        var plan = Plan(2, 2, ReductionTopology.Sharded) with { Optimizer = TinyRun.Optimizer with { FrozenAfter = 3 }, Steps = 6 };
        var steps = await fixture.StepsOf(plan);
        TinyRun.AssertEqual(TinyRun.Train(plan with { StageCount = 1 }), steps);
        var moments = steps.Select(step => string.Join(' ', step.Digests.Select(digest => digest.SecondMoment))).ToArray();
        Assert.Equal(3, moments[..3].Distinct().Count());
        Assert.Single(moments[2..].Distinct());
        var compression = new CompressionSettings { Kind = CompressionKind.OneBit, WarmupSteps = 3 };
        var compressed = await fixture.StepsOf(plan with { Steps = 12, Reduction = plan.Reduction with { Contributions = compression, Answers = compression } });
        Assert.Equal(steps.Take(3).Select(TinyRun.BitsOf), compressed.Take(3).Select(TinyRun.BitsOf));
        Assert.NotEqual(TinyRun.BitsOf(steps[4]), TinyRun.BitsOf(compressed[4]));
        Assert.True(compressed[^1].Loss < compressed[2].Loss);
        // Four bytes become one bit, both ways.
        Assert.InRange(compressed[0].Ranks.Sum(rank => rank.Timing.ExchangedBytes) / (double)compressed[^1].Ranks.Sum(rank => rank.Timing.ExchangedBytes), 25, 32);
    }

    [Fact]
    public async Task Compression_that_is_turned_off_under_way_pays_back_what_it_owes_and_a_resumed_run_knows_of_it()
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var compression = new CompressionSettings { Kind = CompressionKind.Int4 };
        var plan = Plan(2, 2, ReductionTopology.Sharded);
        plan = plan with { Steps = 8, Changes = [new SettingChange(4, SettingKind.Compression, 0)], Reduction = plan.Reduction with { Contributions = compression, Answers = compression } };
        var whole = await fixture.StepsOf(plan);
        Assert.True(whole[2].Ranks[0].Timing.ExchangedBytes * 7 < whole[3].Ranks[0].Timing.ExchangedBytes);
        var saved = plan with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(saved with { Steps = 3 });
        Assert.Equal(whole.Select(TinyRun.BitsOf), begun.Concat(await fixture.StepsOf(saved with { ResumeFromStep = 3 })).Select(TinyRun.BitsOf));
    }

    [Fact]
    public async Task Automatic_compression_is_tried_and_turned_off_where_nothing_is_waited_for()
    {
        var compression = new CompressionSettings { Kind = CompressionKind.Int8 };
        var plan = Plan(2, 1, ReductionTopology.Sharded);
        plan = plan with { Steps = 40, Reduction = plan.Reduction with { Contributions = compression, Answers = compression, Trial = new CompressionTrial(0, 8) } };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(RunEnd.Completed, outcome.End);
        // Within a process tensors are handed over: there is no time to save. A burst of other work may still look like a gain.
        var change = Assert.Single(notices.All.OfType<RunNotice.SettingChanged>()).Change;
        Assert.Equal(SettingKind.Compression, change.Setting);
        Assert.InRange(change.FromStep, 17, 40);
        Assert.Single(notices.All.OfType<RunNotice.Warned>(), warned => warned.Kind == "compression" && warned.Message.Contains("ms saved for", StringComparison.Ordinal));
        var bytes = notices.Steps.Select(step => step.Ranks[0].Timing.ExchangedBytes).ToArray();
        Assert.Single(bytes[..8].Distinct());
        Assert.All(bytes[8..16], compressed => Assert.InRange(bytes[0] / (double)compressed, 3.5, 4));
        Assert.Equal(change.Value == 0 ? bytes[0] : bytes[8], bytes[^1]);
    }

    [Fact]
    public void Micro_batches_that_replicas_cannot_share_evenly_are_refused()
    {
        var fault = Assert.Throws<ScheduleException>(() => RunLayout.For(TinyRun.Plan(1, 8) with { ReplicaCount = 3 }));
        Assert.Contains("8 micro-batches cannot be shared evenly by 3 replicas", fault.Message, StringComparison.Ordinal);
    }

    private static ReductionTopology[] Topologies(int replicaCount) =>
        replicaCount == 1 ? [ReductionTopology.Sharded] : [ReductionTopology.Sharded, ReductionTopology.Hierarchical, ReductionTopology.Coordinator];

    private static TrainingPlan Plan(int replicaCount, int stageCount, ReductionTopology topology, int microBatchCount = MicroBatchCount) =>
        TinyRun.Plan(stageCount, microBatchCount) with
        {
            ReplicaCount = replicaCount,
            Reduction = new ReductionSettings
            {
                Topology = topology,
                BucketLength = 4000,
                GroupSize = 2,
            },
        };

    private static StepSummary Summary(ReferenceStep step) =>
        new(step.Result.Step, step.Result.Loss, step.Result.GradientNorm, step.Result.LearningRate, step.Result.TokenCount, 0, 0, [], step.Digests);

    private static IReadOnlyList<ReferenceStep> InvariantReference(int microBatchCount) =>
        s_invariant.GetOrAdd(microBatchCount, count => TinyRun.Train(TinyRun.Plan(1, count) with { Summation = Summation.Invariant }));

    /// <summary>
    /// How far two orders of adding the same m leaves may lie apart in the norm of the sum: at each element either sum errs by at most
    /// γ(n) · Σ|leaf|, n being the most additions that a leaf goes through, γ(n) = n·u ÷ (1 − n·u) (Higham 2002, 4.2). In index order n is
    /// m − 1, over replicas m ÷ d − 1 + ⌈log2 d⌉; and ‖Σ|leaf|‖ is at most Σ‖leaf‖. The tied sum adds one to each. The norms' own sums are
    /// in double; their errors are below a thousandth of this.
    /// </summary>
    private static double Bound(int replicaCount)
    {
        var depth = MicroBatchCount / replicaCount - 1 + (int)Math.Ceiling(Math.Log2(replicaCount)) + 1;
        return 1.001 * (Gamma(MicroBatchCount) + Gamma(depth)) * LeafNorms();

        static double Gamma(int additionCount) => additionCount * UnitRoundoff / (1 - additionCount * UnitRoundoff);
    }

    private static double LeafNorms()
    {
        var plan = TinyRun.Plan(1, MicroBatchCount);
        using var model = new StageModel(plan.Units, 0, plan.Units.Count, new StageOptions(plan.Precision, torch.CPU, plan.Seed));
        double sum = 0;
        for (var index = 0; index < MicroBatchCount; index++)
        {
            using var microBatch = plan.Batches.Training(1, index, torch.CPU);
            model.Backward(model.Forward(microBatch, null, PassMode.Train), null);
            // A tied matrix counts with both of its uses, which bounds the norm of their sum.
            sum += model.Units.SelectMany(unit => unit.Parameters).Sum(parameter => Math.Sqrt(SquareSum(parameter)));
            model.ClearGradients();
        }

        return sum;
    }

    private static double SquareSum(ParameterState parameter)
    {
        using var wide = parameter.Gradient.to_type(torch.ScalarType.Float64);
        using var squares = wide.square();
        using var total = squares.sum();
        return total.item<double>();
    }
}
