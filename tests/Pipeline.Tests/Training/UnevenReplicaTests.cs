using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;
using Pipeline.Tests.Runs;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Replicas that cut the model into other numbers of stages than each other.</summary>
[Collection(PipelineCollection.Name)]
public sealed class UnevenReplicaTests(PipelineFixture fixture)
{
    private const int MicroBatchCount = 12;

    public static TheoryData<int[], ReductionTopology> Topologies
    {
        get
        {
            TheoryData<int[], ReductionTopology> cases = [];
            foreach (var stages in new int[][] { [2, 1], [3, 2], [1, 2, 3] })
            {
                foreach (var topology in Enum.GetValues<ReductionTopology>()) cases.Add(stages, topology);
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Topologies))]
    public async Task Each_topology_has_the_bits_of_the_unsplit_model_in_both_orders_of_addition(int[] stages, ReductionTopology topology)
    {
        foreach (var summation in Enum.GetValues<Summation>())
        {
            var plan = Plan(stages) with { Summation = summation };
            plan = plan with { Reduction = plan.Reduction with { Topology = topology, PieceLength = 1024 } };
            TinyRun.AssertEqual(Reference(plan), await fixture.StepsOf(plan));
        }
    }

    [Theory]
    [InlineData(new[] { 2, 1 }, Precision.Fp32, Summation.Fast, false)]
    [InlineData(new[] { 2, 1 }, Precision.Bf16, Summation.Invariant, true)]
    [InlineData(new[] { 3, 2 }, Precision.Bf16, Summation.Fast, false)]
    [InlineData(new[] { 3, 2 }, Precision.Fp32, Summation.Fast, true)]
    [InlineData(new[] { 1, 2, 3 }, Precision.Fp32, Summation.Invariant, false)]
    [InlineData(new[] { 1, 2, 3 }, Precision.Bf16, Summation.Fast, true)]
    public async Task Shared_out_state_and_freed_gradients_change_no_bit(int[] stages, Precision precision, Summation summation, bool frees)
    {
        foreach (var tied in new[] { true, false })
        {
            var plan = Plan(stages, tied, precision) with { Summation = summation, SharesOptimizer = true, SharesGradients = frees };
            TinyRun.AssertEqual(Reference(plan, tied), await fixture.StepsOf(plan));
        }
    }

    [Theory]
    [InlineData("zb-v")]
    [InlineData("interleaved-1f1b")]
    [InlineData("zb-h1")]
    [InlineData("gpipe")]
    public async Task Schedules_that_split_or_interleave_are_made_for_each_number_of_stages(string schedule)
    {
        var plan = Plan([2, 3]) with { Schedule = schedule };
        foreach (var topology in new[] { ReductionTopology.Sharded, ReductionTopology.Coordinator })
            TinyRun.AssertEqual(Reference(plan), await fixture.StepsOf(plan with { Reduction = plan.Reduction with { Topology = topology } }));
    }

    [Fact]
    public async Task What_replicas_with_other_stages_send_each_other_is_awaited_also_where_everything_is_serialized()
    {
        var plan = Plan([3, 1, 2]) with { Links = TensorLinkKind.Frames };
        foreach (var shares in new[] { false, true })
        {
            var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Serializing, plan with { SharesOptimizer = shares, SharesGradients = shares });
            Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), outcome);
            TinyRun.AssertEqual(Reference(plan with { SharesGradients = shares }), notices.Steps);
        }
    }

    [Fact]
    public async Task Ranks_count_replica_by_replica_and_those_that_add_up_follow_them()
    {
        var plan = Plan([1, 2, 3]);
        var steps = await fixture.StepsOf(plan with { Reduction = plan.Reduction with { Topology = ReductionTopology.Coordinator } });
        // Six of the replicas, and one beside that of the first.
        Assert.All(steps, step => Assert.Equal(Enumerable.Range(0, 7), step.Ranks.Select(rank => rank.Rank)));
        Assert.All(steps[^1].Ranks, rank => Assert.True(rank.Timing.ExchangedBytes > 0));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_checkpoint_of_theirs_is_one_like_any_other(bool isSharedOut)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var common = Plan([2, 1], precision: Precision.Bf16) with { Summation = Summation.Invariant, SharesOptimizer = isSharedOut, Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(common with { Steps = 2 });
        // Other stages, another number of replicas, shared out or not.
        var ended = await fixture.StepsOf(common with { ReplicaCount = 3, StagesPerReplica = [1, 3, 2], StageCount = 1, SharesOptimizer = !isSharedOut, ResumeFromStep = 2, Steps = 4 });
        var even = await fixture.StepsOf(common with { StagesPerReplica = null, ResumeFromStep = 4 });
        var reference = Reference(common);
        TinyRun.AssertEqual(reference, [.. begun, .. ended, .. even]);
        TinyRun.AssertHolds(store, common, reference[^1]);
    }

    [Theory]
    [InlineData(ReductionTopology.Sharded, false)]
    [InlineData(ReductionTopology.Hierarchical, false)]
    [InlineData(ReductionTopology.Coordinator, false)]
    [InlineData(ReductionTopology.Sharded, true)]
    public async Task A_compressed_run_goes_on_from_a_checkpoint_with_what_had_been_lost(ReductionTopology topology, bool frees)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var compression = new CompressionSettings { Kind = CompressionKind.Int4 };
        var plan = Plan([1, 3, 2]) with { SharesOptimizer = frees, SharesGradients = frees };
        plan = plan with { Reduction = plan.Reduction with { Topology = topology, Contributions = compression, Answers = frees ? plan.Reduction.Answers : compression } };
        var whole = await fixture.StepsOf(plan);
        var saved = plan with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(saved with { Steps = 3 });
        var ended = await fixture.StepsOf(saved with { ResumeFromStep = 3 });
        Assert.Equal(whole.Select(TinyRun.BitsOf), begun.Concat(ended).Select(TinyRun.BitsOf));
        Assert.NotEqual(TinyRun.BitsOf(whole[^1]).Loss, BitConverter.DoubleToInt64Bits(Reference(plan)[^1].Result.Loss));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task They_take_steps_of_their_own_as_whole_models_would(bool tied)
    {
        var plan = Plan([2, 1, 3], tied) with { Steps = 6 };
        plan = plan with { Reduction = plan.Reduction with { Outer = new OuterStep(2, 0.7, 0.9) } };
        TinyRun.AssertEqual(NaiveLocalSteps.Train(plan with { StagesPerReplica = null }), await fixture.StepsOf(plan));
    }

    [Fact]
    public async Task The_first_replica_evaluates_whatever_stages_the_others_have()
    {
        var plan = Plan([2, 1]) with { EvaluateEvery = 2, EvaluationMicroBatchCount = 2 };
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        var reference = Reference(plan);
        var evaluations = notices.All.OfType<RunNotice.Evaluated>().ToArray();
        Assert.Equal([2, 4, 5], evaluations.Select(evaluation => evaluation.AfterStep));
        Assert.All(evaluations, evaluation => Assert.Equal(BitConverter.DoubleToInt64Bits(reference[(int)evaluation.AfterStep - 1].ValidationLoss), BitConverter.DoubleToInt64Bits(evaluation.Loss)));
    }

    [Fact]
    public void What_cannot_be_laid_out_is_refused_with_the_way_out()
    {
        Assert.Contains("expected one number from 1 on for each of the 3, the first 2", Fault(Plan([2, 1]) with { ReplicaCount = 3 }), StringComparison.Ordinal);
        Assert.Contains("expected one number from 1 on for each of the 2, the first 3", Fault(Plan([2, 1]) with { StageCount = 3 }), StringComparison.Ordinal);
        Assert.Contains("99 stages", Fault(Plan([2, 1]) with { StagesPerReplica = [2, 99] }), StringComparison.Ordinal);
        var text = ScheduleText.Format(ScheduleCatalog.Generate("1f1b", 2, MicroBatchCount / 2));
        Assert.Contains("is known for 2 ranks only, and a replica has 1", Fault(Plan([2, 1]) with { ScheduleText = text }), StringComparison.Ordinal);
        Assert.Equal(3, RunLayout.For(Plan([2, 1]) with { ScheduleText = text, ScheduleOver = count => ScheduleCatalog.Generate("1f1b", count, MicroBatchCount / 2) }).RankCount);
        var hierarchical = Plan([2, 3]) with { Schedule = "zb-v", Reduction = new ReductionSettings { Topology = ReductionTopology.Hierarchical } };
        Assert.Contains("Take one stage a rank, or another topology", Fault(hierarchical), StringComparison.Ordinal);

        static string Fault(TrainingPlan plan) => Assert.Throws<ScheduleException>(() => RunLayout.For(plan)).Message;
    }

    [Fact]
    public void Memory_is_estimated_for_the_stages_that_each_rank_has()
    {
        var uneven = Plan([2, 1]);
        var (whole, half) = (MemoryEstimate.Of(Plan([1, 1]), RunLayout.For(Plan([1, 1])), 64), MemoryEstimate.Of(Plan([2, 2]), RunLayout.For(Plan([2, 2])), 64));
        var bytes = MemoryEstimate.Of(uneven, RunLayout.For(uneven), 64);
        Assert.Equal([.. half.StateBytes.Take(2), whole.StateBytes[0]], bytes.StateBytes);
        Assert.Equal([.. half.ActivationBytes.Take(2), whole.ActivationBytes[0]], bytes.ActivationBytes);
        Assert.All(bytes.ExchangeBytes, exchange => Assert.True(exchange > 0));
    }

    private static TrainingPlan Plan(int[] stages, bool tied = true, Precision precision = Precision.Fp32) => TinyRun.Plan(stages[0], MicroBatchCount, tied, precision) with
    {
        ReplicaCount = stages.Length,
        StagesPerReplica = stages,
        Reduction = new ReductionSettings { BucketLength = 4000, GroupSize = 2 },
    };

    /// <summary>The unsplit model with the same order of addition.</summary>
    private static IReadOnlyList<ReferenceStep> Reference(TrainingPlan plan, bool tied = true) => TinyRun.Train(TinyRun.Plan(1, MicroBatchCount, tied, plan.Precision) with
    {
        ReplicaCount = plan.ReplicaCount, Summation = plan.Summation, SharesGradients = plan.SharesGradients,
    });
}
