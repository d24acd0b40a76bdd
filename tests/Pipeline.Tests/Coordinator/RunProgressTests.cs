using Pipeline.Coordinator;
using Pipeline.Protocol;
using Xunit;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Coordinator;

public sealed class RunProgressTests
{
    private static readonly RunPlan s_plan = new() { StartStep = 0, EndStep = 6, EvaluateEvery = 2, StepsAhead = 6 };

    [Fact]
    public void An_evaluation_that_was_heard_before_its_step_was_committed_is_awaited_again_after_a_way_back()
    {
        RunProgress progress = new(s_plan, 2, 0, 0);
        progress.Next();
        foreach (var rank in new[] { 0, 1 }) progress.Enter(StepLedgerTests.Report(rank, 1));
        Assert.True(progress.Enter(After(2)));
        Assert.False(progress.Enter(After(2)));
        progress.RestartFrom(0, 2);
        progress.Next();
        Assert.True(progress.Evaluates(2));
        Assert.True(progress.Enter(After(2)));
    }

    [Fact]
    public void An_evaluation_after_a_committed_step_is_not_asked_for_twice()
    {
        RunProgress progress = new(s_plan, 2, 0, 0);
        progress.Next();
        foreach (var step in new[] { 1, 2 }) foreach (var rank in new[] { 0, 1 }) progress.Enter(StepLedgerTests.Report(rank, step));
        Assert.True(progress.Enter(After(2)));
        progress.RestartFrom(0, 2);
        progress.Next();
        Assert.False(progress.Evaluates(2));
        Assert.False(progress.Enter(After(2)));
    }

    private static HeldOutEvaluated After(long step) => new(Generation.First, 1, step, 3, 1);
}
