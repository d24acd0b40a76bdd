using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Schedules;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

public sealed class MemoryEstimateTests
{
    private const long Tokens = 64;

    [Fact]
    public void Ranks_together_hold_the_state_of_the_unsplit_model_and_one_alone_holds_less()
    {
        var whole = Of(1);
        Assert.True(whole.RankBytes[0] > whole.StateBytes[0] && whole.StateBytes[0] > 0);
        for (var stages = 2; stages <= 4; stages++)
        {
            var split = Of(stages);
            Assert.Equal(stages, split.RankBytes.Count);
            Assert.All(split.RankBytes, bytes => Assert.InRange(bytes, 1, whole.RankBytes[0] - 1));
            // A tensor that two stages share is on both.
            Assert.True(split.StateBytes.Sum() >= whole.StateBytes[0]);
        }
    }

    [Fact]
    public void Activations_grow_with_the_micro_batch_and_with_what_the_schedule_keeps_in_flight()
    {
        var plan = TinyRun.Plan(2, 8);
        var layout = RunLayout.For(plan);
        var (once, twice) = (MemoryEstimate.Of(plan, layout, Tokens), MemoryEstimate.Of(plan, layout, 2 * Tokens));
        Assert.Equal(once.ActivationBytes.Select(bytes => 2 * bytes), twice.ActivationBytes);
        Assert.Equal(once.StateBytes, twice.StateBytes);
        var all = plan with { Schedule = "gpipe" };
        Assert.All(MemoryEstimate.Of(all, RunLayout.For(all), Tokens).ActivationBytes.Zip(once.ActivationBytes), pair => Assert.True(pair.First > pair.Second));
    }

    [Theory]
    [InlineData("1f1b")]
    [InlineData("zb-h2")]
    [InlineData("interleaved-1f1b")]
    public void Units_that_recompute_hold_less_and_some_of_them_something_between(string kind)
    {
        var (none, all, some) = (Of("8xnone"), Of("8xfull"), Of("2xfull, 6xnone"));
        Assert.True(all.Sum() < none.Sum());
        Assert.InRange(some.Sum(), all.Sum(), none.Sum() - 1);
        Assert.All(none.Zip(all), pair => Assert.True(pair.Second <= pair.First));

        IReadOnlyList<long> Of(string units)
        {
            var recompute = UnitRecompute.Parse(units)!;
            var schedule = ScheduleCatalog.Generate(kind, 2, 8);
            var plan = TinyRun.Plan(2, 8) with
            {
                ScheduleText = ScheduleText.Format(RecomputePass.Apply(schedule, Enumerable.Range(0, schedule.StageCount))),
                Recompute = [.. Enumerable.Range(0, 8).Select(unit => (Recomputation)recompute[unit])],
            };
            return MemoryEstimate.Of(plan, RunLayout.For(plan), Tokens).ActivationBytes;
        }
    }

    [Fact]
    public void Replicas_need_buckets_sums_and_what_they_keep_for_a_loss_and_shares_hold_less()
    {
        var plan = TinyRun.Plan(2, 8);
        Assert.All(MemoryEstimate.Of(plan, RunLayout.For(plan), Tokens).ExchangeBytes, bytes => Assert.Equal(0, bytes));
        var replicas = plan with { ReplicaCount = 2 };
        var here = MemoryEstimate.Of(replicas, RunLayout.For(replicas), Tokens);
        Assert.Equal(4, here.ExchangeBytes.Count);
        Assert.All(here.ExchangeBytes, bytes => Assert.True(bytes > 0));
        var spread = MemoryEstimate.Of(replicas, RunLayout.For(replicas), Tokens, isSpread: true);
        // Half of the gradient each way, a step and those that are granted ahead.
        Assert.All(spread.ExchangeBytes.Zip(here.ExchangeBytes, here.StateBytes), rank => Assert.InRange((double)(rank.First - rank.Second) / (rank.Third / 4), 0.99 * 5, 1.01 * 5));
        var invariant = replicas with { Summation = Pipeline.Model.Training.Summation.Invariant };
        Assert.All(MemoryEstimate.Of(invariant, RunLayout.For(invariant), Tokens).ExchangeBytes.Zip(here.ExchangeBytes), rank => Assert.True(rank.First > rank.Second));
        var shared = replicas with { SharesOptimizer = true, SharesGradients = true };
        // 4 + 12 ÷ 2 bytes a parameter instead of 16.
        Assert.Equal(here.StateBytes.Select(bytes => bytes * 10 / 16), MemoryEstimate.Of(shared, RunLayout.For(shared), Tokens).StateBytes);
    }

    private static MemoryEstimate Of(int stages)
    {
        var plan = TinyRun.Plan(stages, 4) with { Precision = Precision.Fp32 };
        return MemoryEstimate.Of(plan, RunLayout.For(plan), Tokens);
    }
}
