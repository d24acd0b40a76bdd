using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>The nodes that a coordinator knows: those that live, those that are to be left, those that were given up. No actor.</summary>
internal sealed class NodeTable
{
    private readonly Dictionary<NodeId, NodeInfo> _alive = [];
    private readonly Dictionary<NodeId, string> _lost = [];
    private readonly HashSet<NodeId> _draining = [];
    private readonly HashSet<NodeId> _cordoned = [];

    /// <summary>Nodes that live, in the common order.</summary>
    internal IReadOnlyList<NodeInfo> Alive => [.. _alive.Values.OrderBy(node => node.Id)];

    /// <summary>Nodes that live, are not to be left and may take further ranks.</summary>
    internal IReadOnlyList<NodeInfo> Usable => [.. Alive.Where(node => !_draining.Contains(node.Id) && !_cordoned.Contains(node.Id))];

    /// <summary>A node that lives; null otherwise.</summary>
    internal NodeInfo? this[NodeId id] => _alive.GetValueOrDefault(id);

    /// <summary>A node joins; false if it is known, or was given up.</summary>
    internal bool Add(NodeInfo node) => !_lost.ContainsKey(node.Id) && _alive.TryAdd(node.Id, node);

    /// <summary>Gives a node up; false if it was not there.</summary>
    internal bool Lose(NodeId id, string reason)
    {
        if (!_alive.Remove(id)) return false;
        _draining.Remove(id);
        _lost[id] = reason;
        return true;
    }

    /// <summary>Gives a node up that is not even known: should it come, it is shut out.</summary>
    internal void Shut(NodeId id, string reason) => _lost.TryAdd(id, reason);

    /// <summary>Whether a node was given up.</summary>
    internal bool IsLost(NodeId id) => _lost.ContainsKey(id);

    /// <summary>A node is to be left; false if it is not there or known to be left.</summary>
    internal bool Drain(NodeId id) => _alive.ContainsKey(id) && _draining.Add(id);

    /// <summary>Whether a node may take further ranks; false if that was so already.</summary>
    internal bool Cordon(NodeId id, bool isCordoned) => isCordoned ? _cordoned.Add(id) : _cordoned.Remove(id);

    /// <summary>Whether a node is to be left.</summary>
    internal bool IsDraining(NodeId id) => _draining.Contains(id);
}
