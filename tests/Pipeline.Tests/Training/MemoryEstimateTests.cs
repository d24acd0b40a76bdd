using Pipeline.Model;
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

    private static MemoryEstimate Of(int stages)
    {
        var plan = TinyRun.Plan(stages, 4) with { Precision = Precision.Fp32 };
        return MemoryEstimate.Of(plan, RunLayout.For(plan), Tokens);
    }
}
