namespace Pipeline.Reduction.Summation;

/// <summary>
/// A node of the binary tree that fixes an order of addition: at level l, node k stands for the leaves k · 2^l to (k + 1) · 2^l − 1,
/// as far as the tree has them.
/// </summary>
/// <param name="Level">0 for a leaf.</param>
/// <param name="Index">Place among the nodes of its level, from 0.</param>
public readonly record struct TreeNode(int Level, int Index)
{
    /// <summary>The node above.</summary>
    public TreeNode Parent => new(Level + 1, Index >> 1);

    /// <summary>The other child of the node above; the tree may not have it.</summary>
    public TreeNode Sibling => new(Level, Index ^ 1);

    /// <summary>Whether it is the first of its parent's children, and so the left operand.</summary>
    public bool IsLeft => (Index & 1) == 0;

    /// <summary>The first leaf under it.</summary>
    public int FirstLeaf => Index << Level;

    /// <summary>A leaf as a node.</summary>
    public static TreeNode Leaf(int index) => new(0, index);

    /// <inheritdoc/>
    public override string ToString() => $"{Level}/{Index}";
}
