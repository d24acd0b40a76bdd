using Pipeline.Coordinator;
using Xunit;

namespace Pipeline.Tests.Coordinator;

/// <summary>When a run that does not move is lost: after so many repeats that brought nothing new, whatever is repeated meanwhile.</summary>
public sealed class StandstillTests
{
    [Fact]
    public void What_is_said_again_holds_the_end_of_a_run_that_stands_still_not_up()
    {
        Standstill standstill = new(2);
        foreach (var rank in new[] { 0, 1 }) Assert.True(standstill.Reach(Waypoint.Assigned, rank, 4));
        Assert.True(standstill.Repeats(isSomebodyAtWork: false));
        Assert.False(standstill.Reach(Waypoint.Assigned, 0, 4));
        Assert.True(standstill.Repeats(isSomebodyAtWork: false));
        Assert.False(standstill.Reach(Waypoint.Assigned, 1, 4));
        Assert.False(standstill.Repeats(isSomebodyAtWork: false));
    }

    [Fact]
    public void What_is_new_begins_the_count_anew()
    {
        Standstill standstill = new(1);
        Assert.True(standstill.Reach(Waypoint.Assigned, 0, 4));
        Assert.True(standstill.Repeats(isSomebodyAtWork: false));
        // A point that was not reached, the same point from a later start, a step.
        foreach (var comesOn in new Action[] { () => standstill.Reach(Waypoint.Ready, 0, 4), () => standstill.Reach(Waypoint.Assigned, 0, 5), standstill.Moved })
        {
            comesOn();
            Assert.True(standstill.Repeats(isSomebodyAtWork: false));
        }

        Assert.False(standstill.Repeats(isSomebodyAtWork: false));
    }

    [Fact]
    public void After_a_loss_the_same_points_are_a_way_on_once_more()
    {
        Standstill standstill = new(1);
        standstill.Reach(Waypoint.Ready, 0, 4);
        standstill.Lose();
        Assert.True(standstill.Reach(Waypoint.Ready, 0, 4));
    }

    [Fact]
    public void Whoever_computes_is_waited_for()
    {
        Standstill standstill = new(1);
        for (var time = 0; time < 100; time++) Assert.True(standstill.Repeats(isSomebodyAtWork: true));
        Assert.True(standstill.Repeats(isSomebodyAtWork: false));
        Assert.False(standstill.Repeats(isSomebodyAtWork: false));
    }
}
