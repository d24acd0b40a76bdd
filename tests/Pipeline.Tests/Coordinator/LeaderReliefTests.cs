using Pipeline.Coordinator;
using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Coordinator;

public sealed class LeaderReliefTests
{
    private static readonly HashSet<(int, NodeId)> s_untried = [];
    private static readonly NodeInfo Home = Node("home", "one", 1);

    [Fact]
    public void A_leader_that_holds_no_rank_needs_no_relief() =>
        Assert.Null(LeaderRelief.Decide(Home.Id, [Home, Node("b", "one", 1), Node("c", "one", 1)], [new NodeId("b", 1)], [], s_untried));

    [Fact]
    public void A_spare_of_the_leaders_machine_comes_first_and_then_the_fastest()
    {
        NodeInfo[] nodes = [Home, Node("b", "two", 9), Node("c", "two", 5), Node("d", "one", 1)];
        Assert.Equal(new MoveRank(0, new NodeId("d", 1)), LeaderRelief.Decide(Home.Id, nodes, [Home.Id], [], s_untried));
        Assert.Equal(new MoveRank(0, new NodeId("b", 1)), LeaderRelief.Decide(Home.Id, nodes[..3], [Home.Id], [], s_untried));
    }

    [Fact]
    public void A_node_with_ranks_or_without_the_role_or_without_the_memory_is_no_spare()
    {
        NodeInfo[] nodes = [Home, Node("b", "one", 1), Node("c", "one", 1) with { Roles = [NodeInfo.CoordinatorRole] }, Node("d", "one", 1) with { MemoryByteCount = 99 }];
        IReadOnlyList<NodeId> places = [Home.Id, new NodeId("b", 1)];
        Assert.Null(LeaderRelief.Decide(Home.Id, nodes, places, [100, 1], s_untried));
        Assert.Equal(new MoveRank(0, new NodeId("d", 1)), LeaderRelief.Decide(Home.Id, nodes, places, [99, 1], s_untried));
    }

    [Fact]
    public void What_was_tried_is_not_tried_again_while_another_spare_may_be()
    {
        NodeInfo[] nodes = [Home, Node("b", "one", 9), Node("c", "one", 1)];
        Assert.Equal(new MoveRank(0, new NodeId("c", 1)), LeaderRelief.Decide(Home.Id, nodes, [Home.Id], [], new HashSet<(int, NodeId)> { (0, new NodeId("b", 1)) }));
    }

    [Fact]
    public void A_spare_of_less_than_half_the_speed_is_no_help()
    {
        var leader = Home with { Speed = 10 };
        Assert.Null(LeaderRelief.Decide(leader.Id, [leader, Node("b", "one", 4.9)], [leader.Id], [], s_untried));
        Assert.Equal(new MoveRank(0, new NodeId("b", 1)), LeaderRelief.Decide(leader.Id, [leader, Node("b", "one", 5)], [leader.Id], [], s_untried));
    }

    private static NodeInfo Node(string name, string host, double speed) =>
        new(new NodeId(name, 1), $"akka://x/user/{name}", [NodeInfo.StageRole, NodeInfo.CoordinatorRole], "cpu", 1, 0, speed, host, "");
}
