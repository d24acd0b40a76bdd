using CsCheck;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Coordinator;

public sealed class PlacementTests
{
    private static readonly Gen<PlaceableNode[]> Nodes = Gen.Select(Gen.Int[1, 7], Gen.Int[0, 6], Gen.Int[1, 3]).Select((count, home, hosts) => Enumerable.Range(0, count)
        .Select(index => new PlaceableNode(Node(index, $"host{index % hosts}", 0), index == home)).ToArray());

    [Fact]
    public void Every_rank_lies_on_a_living_node_and_those_that_can_stay_stay()
    {
        Gen.Select(Nodes, Gen.Int[1, 6], Gen.Int[0, 5].Array[0, 6]).Sample((nodes, rankCount, stays) =>
        {
            var kept = stays.Where(rank => rank < rankCount).Distinct().ToDictionary(rank => rank, rank => nodes[rank % nodes.Length].Info.Id);
            var placement = Placement.For(nodes, kept, new long[rankCount], NoHolders)!;
            var ids = nodes.Select(node => node.Info.Id).ToHashSet();
            Assert.All(placement.Nodes, node => Assert.Contains(node, ids));
            Assert.All(kept, pair => Assert.Equal(pair.Value, placement.Nodes[pair.Key]));
            Assert.Equal(placement.Nodes, Placement.For([.. nodes.Reverse()], kept, new long[rankCount], NoHolders)!.Nodes);
        });
    }

    [Fact]
    public void Ranks_spread_before_they_share_and_the_coordinators_node_comes_last()
    {
        Gen.Select(Nodes, Gen.Int[1, 6]).Sample((nodes, rankCount) =>
        {
            var placement = Placement.For(nodes, NoNodes, new long[rankCount], NoHolders)!;
            var counts = nodes.Select(node => placement.Nodes.Count(place => place == node.Info.Id)).ToArray();
            Assert.True(counts.Max() - counts.Min() <= 1);
            var home = nodes.FirstOrDefault(node => node.IsCoordinator)?.Info.Id;
            if (rankCount < nodes.Length) Assert.DoesNotContain(placement.Nodes, place => place == home);
        });
    }

    [Fact]
    public void Neighbours_of_a_pipeline_share_a_machine_and_replicas_do_not()
    {
        PlaceableNode[] nodes = [.. Enumerable.Range(0, 4).Select(index => new PlaceableNode(Node(index, index % 2 == 0 ? "left" : "right", 0), false))];
        var placed = Placement.For(nodes, NoNodes, new long[4], NoHolders, Mesh(2, 2))!.Nodes.Select(id => nodes.Single(node => node.Info.Id == id).Info.HostName).ToArray();
        Assert.Equal(placed[0], placed[1]);
        Assert.Equal(placed[2], placed[3]);
        Assert.NotEqual(placed[0], placed[2]);
        var lone = Placement.For(nodes, NoNodes, new long[2], NoHolders, Mesh(1, 1))!.Nodes.Select(id => nodes.Single(node => node.Info.Id == id).Info.HostName).ToArray();
        Assert.NotEqual(lone[0], lone[1]);
    }

    [Fact]
    public void Ranks_of_other_sizes_that_their_nodes_cannot_hold_are_named()
    {
        NodeInfo[] nodes = [Node(0, "left", 0) with { MemoryByteCount = 100 << 20 }, Node(1, "right", 0) with { MemoryByteCount = 50 << 20 }, Node(2, "any", 0)];
        NodeId[] places = [nodes[0].Id, nodes[0].Id, nodes[1].Id, nodes[2].Id];
        Assert.Null(Placement.Overload(nodes, places, [40 << 20, 60 << 20, 50 << 20, 1L << 40]));
        Assert.Null(Placement.Overload(nodes, places, null));
        var overload = Placement.Overload(nodes, places, [40 << 20, 60 << 20, 51 << 20, 0]);
        Assert.Contains("would need 51 MiB on right", overload, StringComparison.Ordinal);
        Assert.Contains("which has 50 MiB", overload, StringComparison.Ordinal);
        Assert.Contains("would need 101 MiB on left", Placement.Overload(nodes, places, [40 << 20, 61 << 20, 0, 0]), StringComparison.Ordinal);
    }

    [Fact]
    public void A_pipeline_goes_where_it_fits_whole_before_it_is_spread_over_machines()
    {
        // Machine small has one node, wide three: the fastest node is on the small one, but a pipeline of two fits on the wide one only.
        PlaceableNode[] nodes =
        [
            new(Node(0, "small", 0) with { Speed = 9 }, false), .. Enumerable.Range(1, 3).Select(index => new PlaceableNode(Node(index, "wide", 0), false)),
        ];
        var hosts = HostsOf(nodes, rankCount: 4, ranksPerReplica: 2);
        Assert.Equal(["wide", "wide"], hosts[..2]);
        Assert.Equal(["small", "wide"], hosts[2..].Order());
    }

    [Fact]
    public void Several_ranks_share_a_node_of_their_replica_rather_than_one_of_another_machine()
    {
        PlaceableNode[] nodes = [.. Enumerable.Range(0, 2).Select(index => new PlaceableNode(Node(index, $"host{index}", 0), false))];
        Assert.Equal(["host0", "host0", "host1", "host1"], HostsOf(nodes, rankCount: 4, ranksPerReplica: 2));
        Assert.Equal(["host0", "host0", "host0", "host1", "host1", "host1"], HostsOf(nodes, rankCount: 6, ranksPerReplica: 3));
    }

    [Fact]
    public void Replicas_are_spread_evenly_over_nodes_and_the_coordinators_is_spared_where_the_others_suffice()
    {
        Gen.Select(Nodes, Gen.Int[1, 3], Gen.Int[2, 4]).Sample((nodes, ranksPerReplica, replicaCount) =>
        {
            var rankCount = ranksPerReplica * replicaCount;
            var placement = Placement.For(nodes, NoNodes, new long[rankCount], NoHolders, Mesh([.. Enumerable.Repeat(ranksPerReplica, replicaCount)]))!;
            var counts = nodes.ToDictionary(node => node.Info.Id, node => placement.Nodes.Count(place => place == node.Info.Id));
            var share = (rankCount + nodes.Length - 1) / nodes.Length;
            Assert.True(counts.Values.Max() <= share);
            var home = nodes.FirstOrDefault(node => node.IsCoordinator)?.Info.Id;
            if (home is { } own && share * (nodes.Length - 1) >= rankCount) Assert.Equal(0, counts[own]);
        });
    }

    [Fact]
    public void Ranks_go_where_a_plan_has_them_whatever_nodes_say_of_their_speed_unless_they_do_not_fit_or_stay_elsewhere()
    {
        PlaceableNode[] nodes = [.. Enumerable.Range(0, 3).Select(index => new PlaceableNode(Node(index, $"host{index}", 0) with { MemoryByteCount = 100, Speed = 10 - index }, index == 0))];
        NodeId[] ids = [.. nodes.Select(node => node.Info.Id)];
        var planned = new Dictionary<int, NodeId> { [0] = ids[2], [1] = ids[0] };
        Assert.Equal([ids[1], ids[2]], Placement.For(nodes, NoNodes, [10, 10], NoHolders)!.Nodes);
        // The slowest, and the coordinator's own.
        Assert.Equal([ids[2], ids[0]], Placement.For(nodes, NoNodes, [10, 10], NoHolders, planned: planned)!.Nodes);
        Assert.Equal([ids[2], ids[2]], Placement.For(nodes, NoNodes, [10, 10], NoHolders, planned: new Dictionary<int, NodeId> { [0] = ids[2], [1] = ids[2] })!.Nodes);
        // What stays where it is counts before the plan, what nobody has planned comes after it.
        Assert.Equal([ids[1], ids[0], ids[2]], Placement.For(nodes, new Dictionary<int, NodeId> { [0] = ids[1] }, [10, 10, 10], NoHolders, planned: planned)!.Nodes);
        // Two do not fit on one node, a node that is gone takes none.
        Assert.Equal([ids[2], ids[1]], Placement.For(nodes, NoNodes, [60, 60], NoHolders, planned: new Dictionary<int, NodeId> { [0] = ids[2], [1] = ids[2] })!.Nodes);
        Assert.Equal([ids[1], ids[0]], Placement.For(nodes[..2], NoNodes, [10, 10], NoHolders, planned: planned)!.Nodes);
    }

    [Fact]
    public void The_room_of_a_rank_is_what_it_has_and_its_share_of_what_its_node_has_left()
    {
        NodeInfo[] nodes = [Node(0, "left", 100), Node(1, "right", 50), Node(2, "any", 0)];
        NodeId[] places = [nodes[0].Id, nodes[0].Id, nodes[1].Id, nodes[2].Id];
        Assert.Equal([35, 65, 50], Placement.RoomOf(nodes, places, [20, 50, 60, 5]).Take(3));
        Assert.True(Placement.RoomOf(nodes, places, [20, 50, 60, 5])[3] > 1L << 60);
        Assert.Equal([25, 55, 40], Placement.RoomOf(nodes, places, [20, 50, 60, 5], 0.8).Take(3));
        Assert.Empty(Placement.RoomOf(nodes, places, [0, 0, 0, 0]));
    }

    [Fact]
    public void Nodes_of_one_machine_share_its_memory_though_each_says_all_of_it()
    {
        NodeInfo[] nodes = [Node(0, "same", 100), Node(1, "same", 100), Node(2, "other", 100)];
        Assert.Equal([35, 65, 100], Placement.RoomOf(nodes, [nodes[0].Id, nodes[1].Id, nodes[2].Id], [20, 50, 10]));
    }

    [Fact]
    public void A_replica_with_fewer_and_larger_ranks_goes_to_the_node_that_can_hold_them()
    {
        // Two halves and a whole: placed in the order of ranks, a half would take the only node that has room for the whole.
        PlaceableNode[] nodes = [.. new[] { 100L, 60, 60 }.Select((memory, index) => new PlaceableNode(Node(index, $"host{index}", 0) with { MemoryByteCount = memory, Speed = memory }, false))];
        Assert.Equal([nodes[1].Info.Id, nodes[2].Info.Id, nodes[0].Info.Id], Placement.For(nodes, NoNodes, [50, 50, 100], NoHolders, Mesh(2, 1))!.Nodes);
        Assert.Null(Placement.For(nodes[1..], NoNodes, [50, 50, 100], NoHolders, Mesh(2, 1)));
    }

    private static ReplicaMesh Mesh(params int[] rankCounts) =>
        new([.. rankCounts.Select(count => new ReplicaStages([.. Enumerable.Repeat(1, count)], ScheduleCatalog.Generate("gpipe", count, 1)))]);

    private static string[] HostsOf(PlaceableNode[] nodes, int rankCount, int ranksPerReplica) =>
        [.. Placement.For(nodes, NoNodes, new long[rankCount], NoHolders, Mesh([.. Enumerable.Repeat(ranksPerReplica, rankCount / ranksPerReplica)]))!.Nodes.Select(id => nodes.Single(node => node.Info.Id == id).Info.HostName)];

    [Fact]
    public void A_copy_is_held_by_another_node_and_not_by_the_coordinators_where_there_are_three()
    {
        Gen.Select(Nodes, Gen.Int[1, 6]).Sample((nodes, rankCount) =>
        {
            var placement = Placement.For(nodes, NoNodes, new long[rankCount], NoHolders)!;
            var home = nodes.FirstOrDefault(node => node.IsCoordinator)?.Info.Id;
            for (var rank = 0; rank < rankCount; rank++)
            {
                Assert.NotEqual(placement.Nodes[rank], placement.Holders[rank]);
                // With one other node than the coordinator's beside the rank's own there is a choice.
                if (nodes.Length >= 3) Assert.NotEqual(home, placement.Holders[rank]);
                if (nodes.Length >= 2 && !(nodes.Length >= 3 && nodes.Count(node => node.Info.Id != home) == 1)) Assert.NotNull(placement.Holders[rank]);
            }
        });
    }

    [Fact]
    public void Holders_that_are_still_right_are_kept()
    {
        Gen.Select(Nodes.Where(nodes => nodes.Length >= 3), Gen.Int[1, 6]).Sample((nodes, rankCount) =>
        {
            var first = Placement.For(nodes, NoNodes, new long[rankCount], NoHolders)!;
            var kept = first.Nodes.Index().ToDictionary(place => place.Index, place => place.Item);
            var again = Placement.For(nodes, kept, new long[rankCount], first.Holders.Index().ToDictionary(holder => holder.Index, holder => holder.Item!.Value))!;
            Assert.Equal(first.Holders, again.Holders);
        });
    }

    [Fact]
    public void Never_more_is_placed_than_fits()
    {
        Gen.Select(Gen.Long[1, 30].Array[1, 5], Gen.Long[1, 20].Array[1, 6]).Sample((memory, ranks) =>
        {
            var nodes = memory.Select((bytes, index) => new PlaceableNode(Node(index, "host", bytes), false)).ToArray();
            var placement = Placement.For(nodes, NoNodes, ranks, NoHolders);
            if (placement is null) return;
            foreach (var node in nodes)
                Assert.True(placement.Nodes.Index().Where(place => place.Item == node.Info.Id).Sum(place => ranks[place.Index]) <= node.Info.MemoryByteCount);
        });
    }

    private static IReadOnlyDictionary<int, NodeId> NoNodes { get; } = new Dictionary<int, NodeId>();

    private static IReadOnlyDictionary<int, NodeId> NoHolders => NoNodes;

    internal static NodeInfo Node(int index, string host, long memory) =>
        new(new NodeId($"node{index}", 1), $"akka://x/user/node{index}", [NodeInfo.StageRole], "cpu", 1, memory, 1, host, "");
}
