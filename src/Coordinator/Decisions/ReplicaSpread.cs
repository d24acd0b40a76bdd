using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Where the ranks of several replicas lie so far while they are placed one after the other. An even share is what the fullest node has in the
/// most even placement; the coordinator's node is spared where the others have room for all below it.
/// </summary>
internal sealed class ReplicaSpread
{
    private readonly Dictionary<NodeId, (string Host, int Room)> _nodes;
    private readonly HashSet<(string Host, int Replica)> _hosted = [];
    private readonly int[] _left;
    private readonly ReplicaMesh _mesh;

    /// <param name="nodes">Nodes that live and may take ranks.</param>
    /// <param name="mesh">Which rank belongs to which replica; those that add up beside the replicas are like one more.</param>
    internal ReplicaSpread(IReadOnlyList<PlaceableNode> nodes, ReplicaMesh mesh)
    {
        _mesh = mesh;
        _left = [.. mesh.Replicas.Select(replica => replica.RankCount), mesh.ReducerCount];
        var rankCount = mesh.RankCount;
        PlaceableNode[] stages = [.. nodes.Where(node => node.Info.Roles.Contains(NodeInfo.StageRole))];
        var share = stages.Length == 0 ? 0 : (rankCount + stages.Length - 1) / stages.Length;
        var isSpared = share * stages.Count(node => !node.IsCoordinator) >= rankCount;
        _nodes = stages.ToDictionary(node => node.Info.Id, node => (node.Info.HostName, node.IsCoordinator && isSpared ? 0 : share));
    }

    /// <summary>A rank lies on a node.</summary>
    internal void Put(int rank, NodeId node)
    {
        var replica = _mesh.ReplicaOf(rank);
        _left[replica]--;
        if (!_nodes.TryGetValue(node, out var known)) return;
        _hosted.Add((known.Host, replica));
        _nodes[node] = known with { Room = known.Room - 1 };
    }

    /// <summary>
    /// How far a node is from the rest of a rank's replica; what counts most comes first. IsFull: it has its even share of the ranks already, or is to
    /// be spared. IsApart: ranks of the replica are placed, none of them on its machine. Breaks: ranks of the replica that its machine has no
    /// room for. IsTaken: another replica lies on its machine, and not this one.
    /// </summary>
    internal (bool IsFull, bool IsApart, int Breaks, bool IsTaken) Distance(PlaceableNode node, int rank)
    {
        var (host, room) = _nodes[node.Info.Id];
        var replica = _mesh.ReplicaOf(rank);
        var isOwn = _hosted.Contains((host, replica));
        var roomOfHost = _nodes.Values.Where(other => other.Host == host).Sum(other => Math.Max(0, other.Room));
        return (
            room <= 0,
            !isOwn && _hosted.Any(place => place.Replica == replica),
            Math.Max(0, _left[replica] - roomOfHost),
            !isOwn && _hosted.Any(place => place.Host == host));
    }
}
