using CsCheck;
using Pipeline.Coordinator;
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
