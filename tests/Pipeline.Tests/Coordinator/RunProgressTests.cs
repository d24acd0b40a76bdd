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

    [Fact]
    public void What_no_rank_has_begun_is_taken_back_with_the_evaluations_after_it_and_handed_out_again()
    {
        RunProgress progress = new(s_plan, 2, 0, 0);
        progress.Next();
        Commit(progress, 1);
        Assert.Equal((6, 6), (progress.Granted, progress.Assured));
        progress.Stand(3);
        Assert.Equal((3, 3), (progress.Granted, progress.Assured));
        Assert.Equal([true, false], new[] { 2L, 4L }.Select(progress.Evaluates));
        Assert.Equal([new StageDirective.Grant(4, 6)], progress.Next());
        Assert.True(progress.Evaluates(4));
    }

    [Fact]
    public void What_is_committed_stays_handed_out_when_all_who_answer_are_behind_it()
    {
        RunProgress progress = new(s_plan, 2, 0, 0);
        progress.Next();
        Commit(progress, 1, 2, 3);
        progress.Stand(1);
        Assert.Equal(3, progress.Granted);
    }

    [Fact]
    public void A_rank_that_a_former_leader_has_let_go_further_than_was_known_is_followed()
    {
        RunProgress progress = new(s_plan, 2, 2, 0);
        progress.Stand(4);
        Assert.Equal(4, progress.Granted);
        Assert.True(progress.Evaluates(4));
    }

    [Fact]
    public void Steps_that_cover_a_stretch_of_time_are_granted_ahead_and_no_more_than_the_most()
    {
        var plan = s_plan with { EndStep = 100, StepsAhead = 4, WindowSpan = TimeSpan.FromSeconds(20), MostStepsAhead = 1000 };
        RunProgress progress = new(plan, 2, 0, 0);
        progress.Next();
        Assert.Equal(4, progress.Granted);
        // Each took two seconds.
        Commit(progress, 1);
        progress.Next();
        Assert.Equal((11, 5), (progress.Granted, progress.Assured));
        RunProgress bounded = new(plan with { MostStepsAhead = 7 }, 2, 0, 0);
        bounded.Next();
        Commit(bounded, 1);
        bounded.Next();
        Assert.Equal(8, bounded.Granted);
    }

    [Fact]
    public void An_evaluation_that_may_still_be_asked_for_is_not_known_already()
    {
        RunProgress progress = new(s_plan with { EvaluateEvery = 0, EndStep = 100 }, 2, 0, 0);
        progress.Next();
        Commit(progress, 1);
        Assert.Equal((6, 1), (progress.Granted, progress.EvaluatedThrough));
    }

    [Fact]
    public void Whether_a_step_was_clipped_follows_from_the_norm_that_was_allowed_in_it()
    {
        var plan = (s_plan with { Clip = 2 }).With(new SettingChange(4, SettingKind.Clip, 0.5)).With(new SettingChange(5, SettingKind.LearningRate, 1)).With(new SettingChange(6, SettingKind.Clip, 0));
        Assert.Equal([false, false, true, true, false], new long[] { 1, 3, 4, 5, 6 }.Select(step => plan.Clips(step, 1)));
        Assert.Equal([true, true, false], new long[] { 1, 3, 6 }.Select(step => plan.Clips(step, 3)));
        Assert.False(plan.Clips(1, double.NaN));
        Assert.False(s_plan.Clips(1, 1e9));
    }

    private static void Commit(RunProgress progress, params long[] steps)
    {
        foreach (var step in steps) foreach (var rank in new[] { 0, 1 }) progress.Enter(StepLedgerTests.Report(rank, step));
    }

    private static HeldOutEvaluated After(long step) => new(Generation.First, 1, step, 3, 1);
}
