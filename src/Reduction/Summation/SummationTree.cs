using System.Numerics;

namespace Pipeline.Reduction.Summation;

/// <summary>
/// The balanced binary tree over a number of leaves: neighbours are added in pairs, the sums again in pairs, and a last one without a
/// neighbour goes up unchanged. Depth ⌈log2 n⌉. Over replicas it is the canonical order of a reduction; over the micro-batches of a
/// step it is the order of <c>numerics.summation = invariant</c>, since where the leaves were computed does not enter.
/// </summary>
public sealed record SummationTree
{
    /// <summary>A tree over so many leaves.</summary>
    /// <param name="leafCount">From 1 to 2^30.</param>
    public SummationTree(int leafCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(leafCount, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(leafCount, 1 << 30);
        LeafCount = leafCount;
        Depth = BitOperations.Log2((uint)leafCount - 1 | 1) + (leafCount > 1 ? 1 : 0);
    }

    /// <summary>Number of leaves.</summary>
    public int LeafCount { get; }

    /// <summary>Most additions between a leaf and the root.</summary>
    public int Depth { get; }

    /// <summary>The sum of everything.</summary>
    public TreeNode Root => new(Depth, 0);

    /// <summary>Whether the tree has the node.</summary>
    public bool Has(TreeNode node) =>
        node is { Level: >= 0, Index: >= 0 } && node.Level <= Depth && (long)node.Index << node.Level < LeafCount;

    /// <summary>The leaf behind the last one under a node.</summary>
    public int EndLeaf(TreeNode node) => (int)Math.Min(LeafCount, ((long)node.Index + 1) << node.Level);

    /// <summary>
    /// The highest node that stands for the same leaves: a node without a sibling goes up unchanged, so it and its parent are one sum.
    /// Only such nodes are ever held or sent.
    /// </summary>
    public TreeNode Highest(TreeNode node)
    {
        while (node.Level < Depth && node.IsLeft && !Has(node.Sibling)) node = node.Parent;
        return node;
    }

    /// <summary>
    /// The maximal complete subtrees of a contiguous share: what a replica that holds these leaves sends, first to last. At most
    /// 2 · <see cref="Depth"/> of them, and one where the share is aligned.
    /// </summary>
    /// <param name="first">First leaf of the share.</param>
    /// <param name="count">Number of its leaves; 0 gives none.</param>
    public IReadOnlyList<TreeNode> CompleteSubtrees(int first, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, LeafCount - first);
        List<TreeNode> nodes = [];
        for (int leaf = first, end = first + count; leaf < end; leaf = EndLeaf(nodes[^1]))
        {
            var node = Highest(TreeNode.Leaf(leaf));
            while (node.Level < Depth && node.IsLeft && EndLeaf(node.Parent) <= end) node = Highest(node.Parent);
            nodes.Add(node);
        }

        return nodes;
    }

    /// <summary>The maximal complete subtrees of any set of leaves, first to last: <see cref="CompleteSubtrees(int, int)"/> of each run in it.</summary>
    /// <param name="leaves">Leaves in rising order, each once.</param>
    public IReadOnlyList<TreeNode> CompleteSubtrees(IReadOnlyList<int> leaves)
    {
        List<TreeNode> nodes = [];
        for (var start = 0; start < leaves.Count;)
        {
            var end = start + 1;
            while (end < leaves.Count && leaves[end] == leaves[end - 1] + 1) end++;
            nodes.AddRange(CompleteSubtrees(leaves[start], end - start));
            start = end;
        }

        return nodes;
    }
}
