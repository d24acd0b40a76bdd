using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>A node that ranks may be placed on.</summary>
/// <param name="Info">What it can do.</param>
/// <param name="IsCoordinator">Whether the run's coordinator lives on it: it takes ranks and copies last.</param>
internal sealed record PlaceableNode(NodeInfo Info, bool IsCoordinator);

/// <summary>Which node each rank lies on, and which one holds its copies. Pure.</summary>
/// <param name="Nodes">By rank.</param>
/// <param name="Holders">By rank; null where no other node is there.</param>
internal sealed record Placement(IReadOnlyList<NodeId> Nodes, IReadOnlyList<NodeId?> Holders)
{
    /// <summary>
    /// Places ranks. Those that have a node keep it. Those to which a plan gives a node get it while it is there and has room. Each other one goes, in the order of ranks, but replicas with larger ones first, to a node that has room for it. With one
    /// replica that is the one with the fewest ranks, not the coordinator's if there is a choice, then the fastest. With several no node takes
    /// more ranks than an even share while another has fewer; among those below it the one nearest to the rank's own replica comes first
    /// (<see cref="ReplicaSpread"/>), so that a pipeline's neighbours share a machine and replicas do not. A holder is never the rank's own node; it is not the
    /// coordinator's where there are three, not on the same machine where there is a choice, and kept where it is still right.
    /// </summary>
    /// <param name="nodes">Nodes that live and may take ranks.</param>
    /// <param name="kept">Rank → node, for ranks that stay where they are.</param>
    /// <param name="rankBytes">Memory that each rank needs; 0 where it is not known.</param>
    /// <param name="formerHolders">Rank → holder so far.</param>
    /// <param name="mesh">Which rank belongs to which replica; null where there is one replica.</param>
    /// <param name="planned">Rank → node, as a plan has them; null for none.</param>
    /// <returns>The placement, or null where the ranks do not fit.</returns>
    internal static Placement? For(
        IReadOnlyList<PlaceableNode> nodes,
        IReadOnlyDictionary<int, NodeId> kept,
        IReadOnlyList<long> rankBytes,
        IReadOnlyDictionary<int, NodeId> formerHolders,
        ReplicaMesh? mesh = null,
        IReadOnlyDictionary<int, NodeId>? planned = null)
    {
        var places = new NodeId[rankBytes.Count];
        var load = nodes.ToDictionary(node => node.Info.Id, _ => (Count: 0, Bytes: 0L));
        var spread = mesh is { ReplicaCount: > 1 } ? new ReplicaSpread(nodes, mesh) : null;
        foreach (var (rank, node) in kept) Put(rank, node);
        HashSet<int> open = [.. Enumerable.Range(0, places.Length).Where(rank => !kept.ContainsKey(rank))];
        foreach (var (rank, wanted) in planned ?? new Dictionary<int, NodeId>())
        {
            if (!open.Contains(rank) || !nodes.Any(node => node.Info.Id == wanted && IsRoom(node, load, rankBytes[rank]))) continue;
            Put(rank, wanted);
            open.Remove(rank);
        }

        foreach (var rank in InOrder(rankBytes, mesh).Where(open.Contains))
        {
            if (Best(nodes, load, rankBytes[rank], node => spread?.Distance(node, rank) ?? default) is not { } best) return null;
            Put(rank, best);
        }

        return new Placement(places, Hold(nodes, places, formerHolders));

        void Put(int rank, NodeId node)
        {
            places[rank] = node;
            var (count, bytes) = load.GetValueOrDefault(node);
            load[node] = (count + 1, bytes + rankBytes[rank]);
            spread?.Put(rank, node);
        }
    }

    /// <summary>Why ranks of other sizes do not fit where they are, as a sentence; null where they do, or sizes are not known.</summary>
    /// <param name="nodes">Nodes that live.</param>
    /// <param name="places">By rank.</param>
    /// <param name="rankBytes">Memory that each rank would need; null or none where it is not known.</param>
    internal static string? Overload(IReadOnlyList<NodeInfo> nodes, IReadOnlyList<NodeId> places, IReadOnlyList<long>? rankBytes)
    {
        if (rankBytes is not { Count: > 0 }) return null;
        foreach (var node in nodes.Where(node => node.MemoryByteCount > 0))
        {
            var needed = places.Index().Where(place => place.Item == node.Id && place.Index < rankBytes.Count).Sum(place => rankBytes[place.Index]);
            if (needed > node.MemoryByteCount) return $"The division would need {needed >> 20:N0} MiB on {node.HostName} ({node.Id}), which has {node.MemoryByteCount >> 20:N0} MiB. The units stay as they are.";
        }

        return null;
    }

    /// <summary>By rank, what it may take where it lies: what it needs now, and an even share of what its machine has left. As good as unlimited where a node does not say what it has.</summary>
    /// <param name="nodes">Nodes that live.</param>
    /// <param name="places">By rank.</param>
    /// <param name="rankBytes">Memory that each rank needs; none where it is not known.</param>
    /// <param name="usableShare">The share of a node's memory that ranks may take.</param>
    /// <returns>Empty where sizes are not known.</returns>
    internal static IReadOnlyList<long> RoomOf(IReadOnlyList<NodeInfo> nodes, IReadOnlyList<NodeId> places, IReadOnlyList<long> rankBytes, double usableShare = 1)
    {
        if (rankBytes.Count == 0 || rankBytes.All(bytes => bytes == 0)) return [];
        // Nodes of one machine share its memory, and each says all of it.
        var hosts = nodes.ToDictionary(node => node.Id, node => node.HostName);
        var memory = nodes.Where(node => node.MemoryByteCount > 0).GroupBy(node => node.HostName).ToDictionary(host => host.Key, host => (long)(host.Max(node => node.MemoryByteCount) * usableShare));
        var held = places.Index().Where(place => place.Index < rankBytes.Count).ToLookup(place => hosts.GetValueOrDefault(place.Item, ""), place => rankBytes[place.Index]);
        return [.. places.Take(rankBytes.Count).Select((node, rank) => hosts.TryGetValue(node, out var host) && memory.TryGetValue(host, out var room)
            ? rankBytes[rank] + ((room - held[host].Sum()) / held[host].Count())
            : long.MaxValue / 4)];
    }

    /// <summary>Of replicas with different numbers of stages the ranks of those with fewer are the larger ones, which not every node can hold.</summary>
    private static IEnumerable<int> InOrder(IReadOnlyList<long> rankBytes, ReplicaMesh? mesh)
    {
        var ranks = Enumerable.Range(0, rankBytes.Count);
        return mesh is null || mesh.IsEven ? ranks : ranks.GroupBy(mesh.ReplicaOf).OrderByDescending(replica => replica.Max(rank => rankBytes[rank])).SelectMany(replica => replica);
    }

    private static NodeId? Best(
        IReadOnlyList<PlaceableNode> nodes, Dictionary<NodeId, (int Count, long Bytes)> load, long bytes, Func<PlaceableNode, (bool, bool, int, bool)> distance) => nodes
        .Where(node => IsRoom(node, load, bytes))
        .OrderBy(distance).ThenBy(node => load[node.Info.Id].Count).ThenBy(node => node.IsCoordinator).ThenByDescending(node => node.Info.Speed).ThenBy(node => node.Info.Id)
        .Select(node => (NodeId?)node.Info.Id).FirstOrDefault();

    private static bool IsRoom(PlaceableNode node, Dictionary<NodeId, (int Count, long Bytes)> load, long bytes) =>
        node.Info.Roles.Contains(NodeInfo.StageRole) && (node.Info.MemoryByteCount == 0 || load[node.Info.Id].Bytes + bytes <= node.Info.MemoryByteCount);

    private static NodeId?[] Hold(IReadOnlyList<PlaceableNode> nodes, NodeId[] places, IReadOnlyDictionary<int, NodeId> former)
    {
        var candidates = nodes.Count >= 3 ? [.. nodes.Where(node => !node.IsCoordinator)] : nodes;
        var held = nodes.ToDictionary(node => node.Info.Id, _ => 0);
        var hosts = nodes.ToDictionary(node => node.Info.Id, node => node.Info.HostName);
        var holders = new NodeId?[places.Length];
        for (var rank = 0; rank < places.Length; rank++)
        {
            var own = places[rank];
            var keeps = former.TryGetValue(rank, out var before) && before != own && candidates.Any(node => node.Info.Id == before);
            var holder = keeps ? before : candidates.Where(node => node.Info.Id != own)
                .OrderBy(node => node.Info.HostName == hosts.GetValueOrDefault(own)).ThenBy(node => held[node.Info.Id]).ThenBy(node => node.Info.Id)
                .Select(node => (NodeId?)node.Info.Id).FirstOrDefault();
            holders[rank] = holder;
            if (holder is { } chosen) held[chosen]++;
        }

        return holders;
    }
}
