using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using Pipeline.Tests.Runs;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Steps whose loss is not finite: passed over to the same bits in every layout, rolled back where they come in a row, and never without an end.</summary>
[Collection(PipelineCollection.Name)]
public sealed class NonFiniteTests(PipelineFixture fixture)
{
    [Theory]
    [InlineData(1, "1f1b", Precision.Fp32)]
    [InlineData(3, "1f1b", Precision.Bf16)]
    [InlineData(2, "zb-h1", Precision.Fp32)]
    [InlineData(2, "zb-v", Precision.Bf16)]
    public async Task A_step_whose_loss_is_not_finite_changes_nothing_and_the_run_goes_on_as_the_unsplit_model_does(int stageCount, string schedule, Precision precision)
    {
        var plan = Infinite(TinyRun.Plan(stageCount, 4, precision: precision, steps: 8) with { Schedule = schedule }, 4, 6, 8);
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 8), outcome);
        TinyRun.AssertEqual(TinyRun.Train(plan), notices.Steps);
        Assert.Equal([4, 6, 8], notices.Steps.Where(step => double.IsNaN(step.Loss) && double.IsNaN(step.GradientNorm)).Select(step => step.Step));
        Assert.Equal(notices.Steps[2].Digests, notices.Steps[3].Digests);
        Assert.NotEqual(notices.Steps[3].Digests, notices.Steps[4].Digests);
        Assert.Equal([4, 6, 8], Warnings(notices, "non-finite").Select(warning => warning.Step));
        Assert.Contains("Step 4: the loss of micro-batch 1 is not finite", Warnings(notices, "non-finite")[0].Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Summation.Fast)]
    [InlineData(Summation.Invariant)]
    public async Task Replicas_pass_a_step_over_alike(Summation summation)
    {
        var plan = Infinite(TinyRun.Plan(2, 4, steps: 6) with { ReplicaCount = 2, SharesOptimizer = true, Summation = summation }, 3);
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        TinyRun.AssertEqual(TinyRun.Train(plan), notices.Steps);
    }

    [Theory]
    [InlineData(CompressionKind.Int8)]
    [InlineData(CompressionKind.TopK)]
    [InlineData(CompressionKind.PowerSgd)]
    public async Task Nothing_of_a_step_that_was_passed_over_is_left_in_what_compression_carries_on(CompressionKind kind)
    {
        var compression = new CompressionSettings { Kind = kind };
        var plan = Infinite(TinyRun.Plan(2, 4, steps: 8) with { ReplicaCount = 2, Reduction = new ReductionSettings { BucketLength = 4000, Contributions = compression, Answers = compression } }, 3);
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 8), outcome);
        Assert.All(notices.Steps.Where(step => step.Step != 3), step => Assert.True(double.IsFinite(step.Loss) && double.IsFinite(step.GradientNorm), $"step {step.Step}"));
    }

    [Theory]
    [InlineData(ReductionTopology.Sharded)]
    [InlineData(ReductionTopology.Hierarchical)]
    [InlineData(ReductionTopology.Coordinator)]
    public async Task Replicas_that_step_by_themselves_do_not_meet_after_a_step_that_was_passed_over(ReductionTopology topology)
    {
        var reduction = new ReductionSettings { Topology = topology, BucketLength = 4000, Outer = new OuterStep(2, 0.7, 0.9) };
        var plan = Infinite(TinyRun.Plan(2, 4, steps: 8) with { ReplicaCount = 2, Reduction = reduction }, 4, 7);
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 8), outcome);
        Assert.All(notices.Steps, step => Assert.Equal(step.Step is not (4 or 7), double.IsFinite(step.Loss)));
        Assert.Equal([2, 6, 8], notices.Steps.Where(step => step.Ranks.Sum(rank => rank.Timing.ExchangedBytes) > 0).Select(step => step.Step));
    }

    [Theory]
    [InlineData(ReductionTopology.Sharded)]
    [InlineData(ReductionTopology.Coordinator)]
    public async Task What_a_meeting_did_not_send_is_still_owed_after_a_step_that_was_passed_over(ReductionTopology topology)
    {
        using TemporaryFolder folder = new();
        var compression = new CompressionSettings { Kind = CompressionKind.Int4 };
        var reduction = new ReductionSettings { Topology = topology, BucketLength = 4000, Outer = new OuterStep(2, 0.7, 0.9), Contributions = compression, Answers = compression };
        var plan = Infinite(TinyRun.Plan(2, 4, steps: 3) with { ReplicaCount = 2, Reduction = reduction, Checkpoints = Saving(folder, 1) with { KeepCount = 3 } }, 3);
        var (outcome, _) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 3), outcome);
        var (met, passedOver) = (Owed(plan.Checkpoints!.Store, 2), Owed(plan.Checkpoints.Store, 3));
        Assert.Contains(met.Values, values => values.AsSpan().ContainsAnyExcept((byte)0));
        Assert.Equal(met.Keys.Order(StringComparer.Ordinal), passedOver.Keys.Order(StringComparer.Ordinal));
        Assert.All(met, owed => Assert.Equal(owed.Value, passedOver[owed.Key]));

        static Dictionary<string, byte[]> Owed(ICheckpointStore store, long step)
        {
            using var checkpoint = store.Open(step, verify: true);
            // What replicas remember of their meetings is not what they owe; each one's own state is its own.
            return checkpoint.Tensors.Keys.Where(name => ResidualStore.IsOf("", name) && !ResidualStore.IsOf(OuterWeights.Prefix, name) && !ResidualStore.IsOf(ReplicaPlace.Prefix, name))
                .ToDictionary(name => name, name =>
                {
                    var bytes = new byte[checkpoint.ByteCount(name)];
                    checkpoint.Read(name, (offset, part) => part.CopyTo(bytes.AsSpan((int)offset)));
                    return bytes;
                });
        }
    }

    [Fact]
    public void What_replicas_that_step_by_themselves_last_shared_is_left_when_what_compression_lost_is_forgotten()
    {
        using ResidualStore store = new();
        store.Of("outer.shared.weight", 4).Fill(2);
        store.Of("outer.momentum.weight", 4).Fill(3);
        store.Of("bucket", 4).Fill(1);
        store.Forget();
        Assert.Equal([2f, 2f, 2f, 2f], store.Of("outer.shared.weight", 4).ToArray());
        Assert.Equal([3f, 3f, 3f, 3f], store.Of("outer.momentum.weight", 4).ToArray());
        Assert.Equal(new float[4], store.Of("bucket", 4).ToArray());
    }

    [Fact]
    public void Second_moments_that_freeze_after_a_step_freeze_also_where_it_is_passed_over()
    {
        TorchRuntime.Initialize();
        TorchRuntime.UseThreads(1);
        var plan = Infinite(TinyRun.Plan(1, 2), 2);
        using StageModel model = new(plan.Units, 0, plan.Units.Count, new StageOptions(plan.Precision, TorchSharp.torch.CPU, plan.Seed));
        ReferenceTrainer trainer = new(model, plan.Batches, plan.Optimizer with { FrozenAfter = 2 }, Summation.Fast, 1);
        trainer.Step(1);
        // None may stay below a hundredth of its parameter's mean; after a first step many are.
        var before = SecondMoments(model);
        Assert.Contains(before, moment => moment.Least < 0.005 * moment.Mean);
        Assert.NotNull(trainer.Step(2).Fault);
        Assert.All(before.Zip(SecondMoments(model)), pair => Assert.True(pair.Second.Least >= 0.0099 * pair.First.Mean, $"{pair.Second.Least} of a mean of {pair.First.Mean}"));

        static (double Least, double Mean)[] SecondMoments(StageModel model) => [.. model.State().Where(tensor => tensor.Name.EndsWith(".exp_avg_sq", StringComparison.Ordinal)).Select(tensor =>
        {
            using var scope = TorchSharp.torch.NewDisposeScope();
            return ((double)tensor.Tensor.min().item<float>(), (double)tensor.Tensor.mean().item<float>());
        })];
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Two_in_a_row_are_rolled_back_to_the_checkpoint_before_them_and_the_same_failure_ends_the_run(int stageCount)
    {
        using TemporaryFolder folder = new();
        var plan = Infinite(TinyRun.Plan(stageCount, 3, steps: 12), 5, 6) with { Checkpoints = Saving(folder, 2) };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal((RunEnd.Failed, 5L), (outcome.End, outcome.Step));
        Assert.Contains("Step 6: the loss of micro-batch 1 is not finite, and 1 before it had been passed over. It was the same in 2 tries", outcome.Error, StringComparison.Ordinal);
        // The checkpoints may still be on their way to the disk when step 6 fails.
        Assert.Contains(Assert.Single(notices.All.OfType<RunNotice.RolledBack>()).Step, new[] { 0L, 2L, 4L });
        TinyRun.AssertEqual(TinyRun.Train(Infinite(TinyRun.Plan(1, 3, steps: 5), 5, 6)), notices.Steps);
    }

    [Fact]
    public async Task The_unsplit_run_does_the_same_as_a_pipeline_with_the_same_notices()
    {
        using TemporaryFolder folder = new();
        var plan = Infinite(TinyRun.Plan(3, 3, steps: 12), 2, 5, 7, 8) with { EvaluateEvery = 3, EvaluationMicroBatchCount = 2 };
        var (piped, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan with { Checkpoints = Saving(folder, 3, "piped") });
        NoticeList unsplitNotices = new();
        var unsplit = ReferenceRun.Train(plan with { Checkpoints = Saving(folder, 3, "unsplit") }, unsplitNotices, CancellationToken.None);
        Assert.Equal(piped, unsplit);
        Assert.Equal(notices.Steps.Select(Line), unsplitNotices.Steps.Select(Line));
        Assert.Equal(Told(notices), Told(unsplitNotices));

        // Not which checkpoints were saved: one that is on its way when all go back is given up.
        static (long, long, string) Line(StepSummary step) => (step.Step, BitConverter.DoubleToInt64Bits(step.Loss), string.Join(' ', step.Digests));
        static IEnumerable<object> Told(NoticeList list) =>
        [
            .. list.All.OfType<RunNotice.Warned>().Select(warned => (warned.Kind, warned.Step)), .. list.All.OfType<RunNotice.RolledBack>().Select(back => back.Generation.Number),
            .. list.All.OfType<RunNotice.Evaluated>().Select(evaluated => (evaluated.AfterStep, evaluated.Loss)),
        ];
    }

    [Fact]
    public async Task A_failure_that_does_not_come_again_costs_the_way_back_and_no_bit_of_the_state()
    {
        using TemporaryFolder folder = new();
        var clean = TinyRun.Plan(3, 3, steps: 9);
        var plan = clean with { Units = [.. clean.Units.SkipLast(1), new InfiniteUnit(clean.Units[^1], 1, 5, 6) { Heals = true }], Checkpoints = Saving(folder, 2) };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 9), outcome);
        Assert.Equal(Enumerable.Range(1, 9).Select(step => (long)step), notices.Steps.Select(step => step.Step));
        Assert.Equal(5, Assert.Single(Warnings(notices, "step-revised")).Step);
        TinyRun.AssertEqual([.. TinyRun.Train(clean).Skip(5)], notices.Steps.Skip(5));
    }

    [Fact]
    public async Task How_many_are_passed_over_and_how_often_a_failure_is_tried_is_set()
    {
        var many = Infinite(TinyRun.Plan(2, 3, steps: 9), 3, 4, 5) with { NonFinite = new NonFinitePolicy(3, 1) };
        var (completed, notices) = await PipelineFixture.RunAsync(fixture.Plain, many);
        Assert.Equal(RunEnd.Completed, completed.End);
        TinyRun.AssertEqual(TinyRun.Train(many), notices.Steps);
        var (failed, first) = await PipelineFixture.RunAsync(fixture.Plain, many with { NonFinite = new NonFinitePolicy(0, 1) });
        Assert.Equal((RunEnd.Failed, 2L), (failed.End, failed.Step));
        Assert.Empty(first.All.OfType<RunNotice.RolledBack>());
        var (tried, second) = await PipelineFixture.RunAsync(fixture.Plain, many with { NonFinite = new NonFinitePolicy(0, 3) });
        Assert.Equal((RunEnd.Failed, 2L), (tried.End, tried.Step));
        Assert.Equal([0, 0], second.All.OfType<RunNotice.RolledBack>().Select(back => back.Step));
    }

    private static TrainingPlan Infinite(TrainingPlan plan, params long[] steps) => plan with { Units = [.. plan.Units.SkipLast(1), new InfiniteUnit(plan.Units[^1], 1, steps)] };

    private static RunNotice.Warned[] Warnings(NoticeList notices, string kind) => [.. notices.All.OfType<RunNotice.Warned>().Where(warning => warning.Kind == kind)];

    private static CheckpointPlan Saving(TemporaryFolder folder, int every, string name = "checkpoints") => new(new FolderCheckpointStore(folder.In(name)), RunTests.Describe) { SaveEvery = every };
}
