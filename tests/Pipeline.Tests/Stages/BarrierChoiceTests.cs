using Pipeline.Schedules;
using Pipeline.Stages;
using Xunit;

namespace Pipeline.Tests.Stages;

public sealed class BarrierChoiceTests
{
    [Theory]
    [InlineData(OptimizerBarrier.On, "zb-h1", 2, false)]
    [InlineData(OptimizerBarrier.Off, "1f1b", 2, true)]
    [InlineData(OptimizerBarrier.Off, "zb-h1", 1, false)]
    [InlineData(OptimizerBarrier.Auto, "zb-h1", 2, true)]
    [InlineData(OptimizerBarrier.Auto, "1f1b", 2, false)]
    [InlineData(OptimizerBarrier.Auto, "zb-h1", 1, false)]
    public void A_second_copy_of_the_weights_is_held_only_where_a_step_may_run_ahead(OptimizerBarrier barrier, string schedule, int rankCount, bool expected) =>
        Assert.Equal(expected, Choice(barrier, schedule, rankCount).MayRunAhead);

    [Fact]
    public void Auto_waits_until_it_knows_some_steps_and_while_many_of_the_last_were_clipped()
    {
        var choice = Choice(OptimizerBarrier.Auto, "zb-h1", 2);
        for (var step = 0; step < BarrierChoice.LeastHistory; step++)
        {
            Assert.True(choice.WaitsForNorm);
            choice.Settled(isClipped: false);
        }

        Assert.False(choice.WaitsForNorm);
        choice.Settled(isClipped: true);
        Assert.True(choice.WaitsForNorm);
        for (var step = 0; step < BarrierChoice.WindowLength; step++) choice.Settled(isClipped: false);
        Assert.Equal(0, choice.ClipRate);
        Assert.False(choice.WaitsForNorm);
    }

    [Fact]
    public void On_always_waits_and_off_never_does_whatever_is_clipped()
    {
        var (on, off) = (Choice(OptimizerBarrier.On, "zb-h1", 2), Choice(OptimizerBarrier.Off, "zb-h1", 2));
        for (var step = 0; step < 20; step++)
        {
            Assert.True(on.WaitsForNorm);
            Assert.False(off.WaitsForNorm);
            on.Settled(step % 2 == 0);
            off.Settled(step % 2 == 0);
        }

        Assert.Equal(0.5, off.ClipRate);
    }

    private static BarrierChoice Choice(OptimizerBarrier barrier, string schedule, int rankCount) =>
        new(barrier, ScheduleCatalog.Generate(schedule, new ScheduleShape(rankCount, 4)));
}
