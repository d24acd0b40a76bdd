using Pipeline.Coordinator;
using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Coordinator;

public sealed class HangWatchTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(10);

    [Fact]
    public void A_thread_that_computes_for_longer_than_anything_takes_hangs_and_one_that_waits_does_not()
    {
        HangWatch watch = new(Limit);
        Assert.Null(watch.Of([Report(1, At(0, 599)), Report(2, At(1, 5000, awaits: "a grant"), At(2, 5000, awaits: HostedStage.State))], 1));
        var hung = watch.Of([Report(1, At(0, 601)), Report(2, At(1, 900))], 1);
        Assert.Equal((1, new NodeId("node-2", 1), 7L), (hung!.Rank, hung.Node, hung.Step));
        Assert.Equal("rank 1 computes 1F3 of step 8 after step 7 and has not stirred for 900 s", hung.Sentence);
    }

    [Fact]
    public void Where_steps_take_long_a_thread_may_be_at_one_action_for_long() =>
        Assert.Null(new HangWatch(Limit).Of([Report(1, At(0, 1900))], 100));

    [Fact]
    public void Without_a_limit_nobody_hangs() => Assert.Null(new HangWatch(TimeSpan.Zero).Of([Report(1, At(0, 1e9))], 1));

    [Fact]
    public void A_rank_is_given_another_machine_once_for_each_step_at_which_it_hangs()
    {
        HangWatch watch = new(Limit);
        Assert.True(watch.IsFirst(Hung(1, 7), [2, 3]));
        Assert.True(watch.IsFirst(Hung(2, 7), [4]));
        Assert.True(watch.IsFirst(Hung(1, 9), [2, 3]));
        Assert.False(watch.IsFirst(Hung(1, 9), [2, 3]));
    }

    [Fact]
    public void Units_that_hung_are_known_by_whatever_rank_holds_them_and_to_whoever_leads()
    {
        HangWatch watch = new(Limit);
        Assert.True(watch.IsFirst(Hung(3, 7), [2, 3]));
        // Fewer replicas, or other stages: the rank has another number, and perhaps one of the units only.
        Assert.False(watch.IsFirst(Hung(1, 7), [3, 4]));
        HangWatch successor = new(Limit, watch.Known);
        Assert.True(successor.IsFirst(Hung(1, 7), [4, 5]));
        Assert.False(successor.IsFirst(Hung(0, 7), [0, 1, 2]));
        Assert.Equal([(7L, "2,3"), (7L, "4,5")], successor.Known.Select(hang => (hang.Step, string.Join(',', hang.Units))));
    }

    private static HungRank Hung(int rank, long step) => new(rank, default, step, "");

    private static NodeProtocol.HostedReport Report(int node, params HostedStage[] stages)
    {
        NodeId id = new($"node-{node}", 1);
        return new(id, new NodeInfo(id, "", [], "cpu", 1, 0, 1, "", ""), Generation.First, stages, []);
    }

    [Fact]
    public void Of_two_replicas_each_may_hang_once_at_a_step_with_the_same_units()
    {
        var watch = new HangWatch(TimeSpan.FromMinutes(10));
        Assert.True(watch.IsFirst(Hung(0, 7), [0, 1], replicaCount: 2));
        Assert.True(watch.IsFirst(Hung(2, 7), [0, 1], replicaCount: 2));
        Assert.False(watch.IsFirst(Hung(0, 7), [0, 1], replicaCount: 2));
    }

    private static HostedStage At(int rank, double still, string awaits = "") =>
        new(rank, Generation.First, Generation.First, 7, 9, 4, false, awaits, "", "computes 1F3 of step 8", still);
}
