using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Coordinator;

/// <summary>Where the ranks of a run that is not there yet would be placed on nodes as they are now. Pure; the same rules as <see cref="Placement"/>.</summary>
public static class ExpectedPlacement
{
    /// <summary>The node of each rank, replica by replica; null where none may take stages.</summary>
    /// <param name="nodes">Nodes of the cluster.</param>
    /// <param name="leader">The one that will lead the run; null for none of them.</param>
    /// <param name="ranksPerReplica">Ranks of a pipeline.</param>
    /// <param name="replicaCount">Pipelines.</param>
    public static IReadOnlyList<NodeId>? Of(IReadOnlyList<NodeInfo> nodes, NodeId? leader, int ranksPerReplica, int replicaCount) => Placement.For(
        [.. nodes.Select(node => new PlaceableNode(node, node.Id == leader))],
        new Dictionary<int, NodeId>(),
        new long[ranksPerReplica * replicaCount],
        new Dictionary<int, NodeId>(),
        replicaCount > 1 ? Mesh(ranksPerReplica, replicaCount) : null)?.Nodes;

    // Which rank belongs to which replica is all that placement asks of it: any schedule of as many ranks says that.
    private static ReplicaMesh Mesh(int rankCount, int replicaCount) =>
        new([.. Enumerable.Repeat(new ReplicaStages([.. Enumerable.Repeat(1, rankCount)], ScheduleCatalog.Generate("gpipe", rankCount, 1)), replicaCount)]);
}
