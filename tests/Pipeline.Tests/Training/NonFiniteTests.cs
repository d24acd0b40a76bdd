using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Stages;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Steps that are not finite: left out once, as in the reference; then tried again from the checkpoint; then the run stops.</summary>
[Collection(PipelineCollection.Name)]
public sealed class NonFiniteTests(PipelineFixture fixture) : IDisposable
{
    private const int Steps = 9;
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-non-finite-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(1, "1f1b", OptimizerBarrier.On)]
    [InlineData(3, "1f1b", OptimizerBarrier.On)]
    [InlineData(3, "zb-h2", OptimizerBarrier.Off)]
    public async Task A_step_that_is_not_finite_is_left_out_as_in_the_reference(int stageCount, string schedule, OptimizerBarrier barrier)
    {
        var plan = Plan(stageCount, 4) with { Schedule = schedule, Barrier = barrier };
        var expected = TinyRun.Train(plan with { StageCount = 1 });
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), outcome);
        Assert.False(double.IsFinite(notices.Steps[3].Loss));
        Assert.Equal(expected[2].Digests, notices.Steps[3].Digests);
        TinyRun.AssertEqual([.. expected.Where(step => step.Result.Step != 4)], notices.Steps.Where(step => step.Step != 4));
        Assert.Equal(expected[3].Digests, notices.Steps[3].Digests);
        Assert.Equal(expected[3].Result.TokenCount, notices.Steps[3].TokenCount);
    }

    [Fact]
    public async Task Two_in_a_row_are_tried_again_from_the_checkpoint_until_the_run_stops()
    {
        FolderCheckpointStore store = new(_folder);
        var plan = Plan(2, 4, 5) with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = 2 } };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(RunEnd.Failed, outcome.End);
        Assert.Equal(StageFailureKind.NonFiniteLoss, outcome.Failure?.Kind);
        Assert.Contains("Step 5: the loss of micro-batch 1 is not finite", outcome.Error, StringComparison.Ordinal);
        Assert.Equal(2, notices.All.OfType<RunNotice.Warned>().Count(warning => warning is { Kind: "non-finite", Step: 5 }));
        Assert.Equal([1, 2, 3, 4], notices.Steps.Select(step => step.Step));
    }

    [Fact]
    public async Task A_fault_that_does_not_come_back_costs_only_the_way_back()
    {
        FolderCheckpointStore store = new(_folder);
        var passing = TinyRun.Plan(2, 3, steps: Steps) with { NonFinite = new NonFinitePolicy(false, 3), Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = 2 } };
        var expected = TinyRun.Reference(3, true, Precision.Fp32, Steps);
        var units = passing.Units.ToArray();
        units[7] = new InfiniteUnit(units[7], step: 4, microBatch: 1, times: 1);
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, passing with { Units = units });
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), outcome);
        TinyRun.AssertEqual(expected, notices.Steps);
        Assert.Single(notices.All.OfType<RunNotice.Recovering>());
    }

    private static TrainingPlan Plan(int stageCount, params long[] steps)
    {
        var plan = TinyRun.Plan(stageCount, 3, steps: Steps) with { NonFinite = new NonFinitePolicy(true, 3) };
        var units = plan.Units.ToArray();
        foreach (var step in steps) units[7] = new InfiniteUnit(units[7], step, microBatch: 1);
        return plan with { Units = units };
    }
}
