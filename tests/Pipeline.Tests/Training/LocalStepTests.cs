using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Tests.Runs;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Replicas that take steps of their own and bring their weights together from time to time.</summary>
[Collection(PipelineCollection.Name)]
public sealed class LocalStepTests(PipelineFixture fixture)
{
    private const int MicroBatchCount = 12;

    [Theory]
    [InlineData(2, 1, Precision.Fp32, "1f1b", ReductionTopology.Sharded)]
    [InlineData(3, 2, Precision.Bf16, "1f1b", ReductionTopology.Sharded)]
    [InlineData(4, 2, Precision.Fp32, "zb-v", ReductionTopology.Hierarchical)]
    [InlineData(2, 1, Precision.Fp32, "1f1b", ReductionTopology.Coordinator)]
    [InlineData(3, 2, Precision.Bf16, "interleaved-1f1b", ReductionTopology.Coordinator)]
    public async Task They_have_the_bits_of_whole_models_that_step_one_after_the_other(int replicaCount, int stageCount, Precision precision, string schedule, ReductionTopology topology)
    {
        foreach (var tied in new[] { true, false })
        {
            var plan = Plan(replicaCount, stageCount, tied, precision) with { Schedule = schedule };
            plan = plan with { Reduction = plan.Reduction with { Topology = topology, GroupSize = 2 } };
            TinyRun.AssertEqual(NaiveLocalSteps.Train(plan), await fixture.StepsOf(plan));
        }
    }

    [Theory]
    [InlineData(3, CompressionKind.None, ReductionTopology.Sharded)]
    [InlineData(4, CompressionKind.None, ReductionTopology.Sharded)]
    [InlineData(3, CompressionKind.Int4, ReductionTopology.Sharded)]
    [InlineData(3, CompressionKind.Int4, ReductionTopology.Coordinator)]
    public async Task A_run_goes_on_from_a_checkpoint_between_two_meetings_as_if_nothing_had_been(int savedAfter, CompressionKind kind, ReductionTopology topology)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var compression = new CompressionSettings { Kind = kind };
        var plan = Plan(2, 2);
        plan = plan with { Reduction = plan.Reduction with { Topology = topology, Contributions = compression, Answers = compression } };
        var whole = await fixture.StepsOf(plan);
        var saved = plan with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(saved with { Steps = savedAfter });
        // Another number of stages: what is remembered goes by the parameters' names. What compression lost belongs to the stages that lost it.
        var ended = await fixture.StepsOf(saved with { ResumeFromStep = savedAfter, StageCount = kind == CompressionKind.None ? 1 : 2 });
        Assert.Equal(whole.Select(TinyRun.BitsOf), begun.Concat(ended).Select(TinyRun.BitsOf));
    }

    [Fact]
    public async Task They_send_a_hundred_times_less_and_learn()
    {
        var compression = new CompressionSettings { Kind = CompressionKind.Int8 };
        var every = Plan(2, 1) with { Steps = 64 };
        var local = every with { Reduction = every.Reduction with { Outer = new OuterStep(32, 0.7, 0.9), Contributions = compression, Answers = compression } };
        var (exact, far) = (await fixture.StepsOf(every with { Reduction = every.Reduction with { Outer = null } }), await fixture.StepsOf(local));
        Assert.Equal([32, 64], far.Where(step => Bytes(step) > 0).Select(step => step.Step));
        Assert.InRange(exact.Sum(Bytes) / far.Sum(Bytes), 100, double.PositiveInfinity);
        Assert.True(far[^1].Loss < far[0].Loss);

        static double Bytes(StepSummary step) => step.Ranks.Sum(rank => (double)rank.Timing.ExchangedBytes);
    }

    private static TrainingPlan Plan(int replicaCount, int stageCount, bool tied = true, Precision precision = Precision.Fp32) =>
        TinyRun.Plan(stageCount, MicroBatchCount, tied, precision, steps: 6) with
        {
            ReplicaCount = replicaCount,
            Reduction = new ReductionSettings { BucketLength = 4000, Outer = new OuterStep(2, 0.7, 0.9) },
        };
}
