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
    private readonly int _ranksPerReplica;

    /// <param name="nodes">Nodes that live and may take ranks.</param>
    /// <param name="ranksPerReplica">Ranks of one replica, which follow each other.</param>
    /// <param name="rankCount">Ranks of all.</param>
    internal ReplicaSpread(IReadOnlyList<PlaceableNode> nodes, int ranksPerReplica, int rankCount)
    {
        _ranksPerReplica = ranksPerReplica;
        _left = [.. Enumerable.Repeat(ranksPerReplica, rankCount / ranksPerReplica)];
        PlaceableNode[] stages = [.. nodes.Where(node => node.Info.Roles.Contains(NodeInfo.StageRole))];
        var share = stages.Length == 0 ? 0 : (rankCount + stages.Length - 1) / stages.Length;
        var isSpared = share * stages.Count(node => !node.IsCoordinator) >= rankCount;
        _nodes = stages.ToDictionary(node => node.Info.Id, node => (node.Info.HostName, node.IsCoordinator && isSpared ? 0 : share));
    }

    /// <summary>A rank lies on a node.</summary>
    internal void Put(int rank, NodeId node)
    {
        _left[rank / _ranksPerReplica]--;
        if (!_nodes.TryGetValue(node, out var known)) return;
        _hosted.Add((known.Host, rank / _ranksPerReplica));
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
        var replica = rank / _ranksPerReplica;
        var isOwn = _hosted.Contains((host, replica));
        var roomOfHost = _nodes.Values.Where(other => other.Host == host).Sum(other => Math.Max(0, other.Room));
        return (
            room <= 0,
            !isOwn && _hosted.Any(place => place.Replica == replica),
            Math.Max(0, _left[replica] - roomOfHost),
            !isOwn && _hosted.Any(place => place.Host == host));
    }
}
