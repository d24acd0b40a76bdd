using CsCheck;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Coordinator;

public sealed class WindowPlanTests
{
    private static readonly Gen<RunPlan> Plans = Gen.Select(Gen.Long[0, 20], Gen.Long[0, 30], Gen.Long[0, 7], Gen.Long[0, 7], Gen.Bool, Gen.Int[1, 9])
        .Select((start, length, evaluate, save, saves, ahead) => new RunPlan
        {
            StartStep = start,
            EndStep = start + length,
            EvaluateEvery = evaluate,
            Saves = saves,
            SaveEvery = save,
            StepsAhead = ahead,
        });

    [Fact]
    public void The_last_save_that_was_due_is_the_last_one_that_is_handed_out_before_the_end() => Plans.Sample(plan =>
    {
        var saved = Whole(plan).OfType<StageDirective.Save>().Select(save => save.Step).ToArray();
        for (var through = plan.StartStep; through < plan.EndStep; through++)
        {
            // What was due through the start is there already, or was not asked for.
            if (plan.LastSaveDue(through) is var due && due > plan.StartStep) Assert.Equal(saved.Last(step => step <= through), due);
            else Assert.DoesNotContain(saved, step => step <= through);
        }
    });

    [Fact]
    public void No_save_was_due_at_an_interval_that_holds_only_from_a_later_step_on()
    {
        var plan = new RunPlan { StartStep = 0, EndStep = 100, Saves = true, SaveEvery = 40 }.With(new SettingChange(31, SettingKind.SaveEvery, 10));
        Assert.Equal([0, 0, 40, 50], new long[] { 30, 39, 49, 50 }.Select(plan.LastSaveDue));
        Assert.Equal(0, (plan with { Saves = false }).LastSaveDue(50));
    }

    [Fact]
    public void Every_step_is_granted_once_and_every_checkpoint_follows_its_step_before_any_beyond_it()
    {
        Plans.Sample(plan =>
        {
            var directives = Whole(plan);
            var at = plan.StartStep;
            List<long> saved = [];
            foreach (var directive in directives)
            {
                switch (directive)
                {
                    case StageDirective.Grant grant:
                        Assert.Equal(at + 1, grant.FromStep);
                        Assert.True(grant.ThroughStep >= grant.FromStep);
                        at = grant.ThroughStep;
                        break;
                    case StageDirective.Save save:
                        Assert.Equal(at, save.Step);
                        saved.Add(at);
                        break;
                }
            }

            var steps = Enumerable.Range((int)plan.StartStep + 1, (int)(plan.EndStep - plan.StartStep)).Select(step => (long)step).ToArray();
            Assert.Equal(plan.EndStep, at);
            Assert.Equal(steps.Where(plan.SavesAfter), saved);
        });
    }

    [Fact]
    public void Stages_are_never_granted_more_than_the_agreed_steps_beyond_the_last_committed_one()
    {
        Gen.Select(Plans, Gen.Long[0, 30], Gen.Long[0, 9]).Sample((plan, progress, lead) =>
        {
            var committed = Math.Min(plan.EndStep, plan.StartStep + progress);
            var granted = Math.Min(plan.EndStep, committed + Math.Min(lead, plan.StepsAhead));
            foreach (var grant in WindowPlan.Next(plan, granted, committed + plan.StepsAhead).OfType<StageDirective.Grant>())
                Assert.True(grant.ThroughStep <= committed + plan.StepsAhead);
        });
    }

    [Fact]
    public void A_failed_save_waits_longer_each_time_up_to_a_limit()
    {
        var retry = new SaveRetry(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5), 2);
        Assert.Equal([1, 2, 4, 5, 5], Enumerable.Range(1, 5).Select(count => retry.DelayAfter(count).TotalSeconds));
        var progress = new SaveProgress(1, 0, retry);
        Assert.False(progress.Failed(progress.Begin(4), isFinal: true)!.Value.GivesUp);
        Assert.True(progress.NeedsRetry);
        Assert.True(progress.Failed(progress.Begin(4), isFinal: true)!.Value.GivesUp);
    }

    [Fact]
    public void An_attempt_that_failed_on_two_ranks_fails_once()
    {
        var progress = new SaveProgress(2, 0, SaveRetry.Default);
        var attempt = progress.Begin(3);
        Assert.NotNull(progress.Failed(attempt, isFinal: false));
        Assert.Null(progress.Failed(attempt, isFinal: false));
    }

    private static List<StageDirective> Whole(RunPlan plan)
    {
        List<StageDirective> all = [];
        var granted = plan.StartStep;
        for (var committed = plan.StartStep; committed <= plan.EndStep; committed++)
        {
            var next = WindowPlan.Next(plan, granted, committed + plan.StepsAhead);
            all.AddRange(next);
            granted = next.OfType<StageDirective.Grant>().Select(grant => grant.ThroughStep).Append(granted).Max();
        }

        return all;
    }
}
