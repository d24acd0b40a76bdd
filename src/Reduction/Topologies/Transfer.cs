using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Topologies;

/// <summary>One message of a reduction: sums at nodes of the tree over the replicas, for one shard.</summary>
/// <param name="From">Sender.</param>
/// <param name="To">Receiver.</param>
/// <param name="Shard">Which elements.</param>
/// <param name="Nodes">Which sums, first leaf first; the root in an answer.</param>
public sealed record Transfer(Participant From, Participant To, Shard Shard, IReadOnlyList<TreeNode> Nodes)
{
    /// <summary>Elements that travel.</summary>
    public long ElementCount => (long)Shard.Length * Nodes.Count;
}
