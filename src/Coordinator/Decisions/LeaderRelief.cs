using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Which rank leaves the leader's node for a spare: while the leader's process holds ranks, its death stops them all until another leads. Pure.
/// </summary>
public static class LeaderRelief
{
    // A spare that is much slower would hold up each step for the sake of a loss that may never come.
    private const double LeastSpeed = 0.5;

    /// <summary>What such a move is said to be for: so begins the message of its event.</summary>
    public const string Reason = "a spare relieves the leader's node of";

    /// <summary>The first rank on the leader's node that a node without ranks has memory for, and that node: one of the leader's machine first, then the fastest. Nodes of less than half the speed are no help.</summary>
    /// <param name="home">The leader's node.</param>
    /// <param name="usable">Nodes that live and may take ranks.</param>
    /// <param name="places">The node of each rank.</param>
    /// <param name="rankBytes">Memory that each rank needs, in bytes; empty where it is not known.</param>
    /// <param name="tried">Moves that were planned before.</param>
    /// <returns>The move; null where none is needed or possible.</returns>
    internal static MoveRank? Decide(
        NodeId home, IReadOnlyList<NodeInfo> usable, IReadOnlyList<NodeId> places, IReadOnlyList<long> rankBytes, IReadOnlySet<(int Rank, NodeId Node)> tried)
    {
        var leader = usable.FirstOrDefault(node => node.Id == home);
        var spares = usable.Where(node => node.Id != home && node.Roles.Contains(NodeInfo.StageRole) && !places.Contains(node.Id) && node.Speed >= LeastSpeed * (leader?.Speed ?? 0))
            .OrderByDescending(node => node.HostName == leader?.HostName).ThenByDescending(node => node.Speed).ThenBy(node => node.Id).ToArray();
        return (from rank in Enumerable.Range(0, places.Count)
                where places[rank] == home
                from spare in spares
                where !tried.Contains((rank, spare.Id)) && (spare.MemoryByteCount == 0 || rankBytes.ElementAtOrDefault(rank) <= spare.MemoryByteCount)
                select new MoveRank(rank, spare.Id)).FirstOrDefault();
    }
}
