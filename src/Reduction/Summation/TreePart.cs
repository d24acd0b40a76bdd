namespace Pipeline.Reduction.Summation;

/// <summary>The sum at one node of a tree. Whoever holds it owns its buffer.</summary>
/// <param name="Node">Where in the tree.</param>
/// <param name="Sum">The sum of the leaves under it.</param>
public sealed record TreePart(TreeNode Node, FloatBuffer Sum) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose() => Sum.Dispose();
}
