namespace Pipeline.Reduction.Summation;

/// <summary>
/// Adds spans in the order of a <see cref="SummationTree"/>, whatever order they come in and however they are spread: two sums are added
/// as soon as both children of a node are there, left operand first. Leaves in index order, as a schedule finishes them, are held in at
/// most <see cref="SummationTree.Depth"/> + 1 buffers; another order costs more memory and gives the same bits.
/// <para>
/// A replica adds the leaves of its share and takes its maximal complete subtrees with <see cref="TakeParts"/>; who receives those of
/// all replicas adds them with <see cref="Add(TreePart)"/> and has the root. Owns the buffers of what it holds and a few spare ones.
/// Not thread-safe.
/// </para>
/// </summary>
public sealed class TreeAccumulator : IDisposable
{
    private readonly Dictionary<TreeNode, FloatBuffer> _held = [];
    private readonly Stack<FloatBuffer> _spare = [];
    private readonly SummationTree _tree;

    /// <summary>An empty accumulator.</summary>
    /// <param name="tree">Order of addition.</param>
    /// <param name="length">Elements of every span.</param>
    public TreeAccumulator(SummationTree tree, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        _tree = tree;
        Length = length;
    }

    /// <summary>Order of addition.</summary>
    public SummationTree Tree => _tree;

    /// <summary>Elements of every span.</summary>
    public int Length { get; }

    /// <summary>Sums that wait for their sibling.</summary>
    public int HeldCount => _held.Count;

    /// <summary>Whether it holds memory that was lent to it.</summary>
    public bool HasLent => _held.Values.Any(buffer => buffer.IsLent);

    /// <summary>Most buffers of its own that it had at the same time since it was made; memory that was lent to it is its owner's.</summary>
    public int PeakBufferCount { get; private set; }

    /// <summary>Their bytes.</summary>
    public long PeakByteCount => (long)PeakBufferCount * Length * sizeof(float);

    /// <summary>Whether the sum of all leaves is there.</summary>
    public bool IsComplete => _held.ContainsKey(_tree.Root);

    /// <summary>Adds a leaf, which stays the caller's.</summary>
    /// <exception cref="InvalidOperationException">The tree has no such leaf, or the leaf is in a sum already.</exception>
    public void Add(int leaf, ReadOnlySpan<float> values) => Add(TreeNode.Leaf(leaf), values);

    /// <summary>Adds the sum at a node, which stays the caller's.</summary>
    /// <exception cref="InvalidOperationException">The tree has no such node, or what it stands for is in a sum already.</exception>
    public void Add(TreeNode node, ReadOnlySpan<float> values)
    {
        var place = Accept(node, values.Length);
        // The sibling's buffer takes the sum at once, so a right leaf in its turn needs no buffer of its own.
        if (TryJoin(place, values)) return;
        var buffer = Rent();
        values.CopyTo(buffer.Span);
        Keep(place, buffer);
    }

    /// <summary>Adds the sum at a node from where it lies, without a copy.</summary>
    /// <param name="node">The node.</param>
    /// <param name="values">Memory outside the collected heap, which stays as it is until the sums are taken or cleared.</param>
    /// <exception cref="InvalidOperationException">As for a span that is copied.</exception>
    public void AddLent(TreeNode node, ReadOnlySpan<float> values)
    {
        var place = Accept(node, values.Length);
        if (!TryJoin(place, values)) Keep(place, FloatBuffer.Lent(values));
    }

    /// <summary>Adds the sum at a node and takes its buffer over, also when it throws.</summary>
    /// <exception cref="InvalidOperationException">As for a span.</exception>
    public void Add(TreePart part)
    {
        try
        {
            var place = Accept(part.Node, part.Sum.Length);
            Count();
            Keep(place, part.Sum);
        }
        catch
        {
            part.Dispose();
            throw;
        }
    }

    /// <summary>Hands over everything that it holds, first leaf first, and is empty again.</summary>
    public IReadOnlyList<TreePart> TakeParts()
    {
        TreePart[] parts = [.. _held.OrderBy(held => held.Key.FirstLeaf).Select(held => new TreePart(held.Key, held.Value))];
        _held.Clear();
        return parts;
    }

    /// <summary>Copies the sum of all leaves out and is empty again.</summary>
    /// <exception cref="InvalidOperationException">Leaves are missing; the message names what is held.</exception>
    public void TakeRoot(Span<float> sum)
    {
        if (!_held.Remove(_tree.Root, out var root))
            throw new InvalidOperationException($"The sum of {_tree.LeafCount} leaves is not complete; held are {Held()}.");
        root.Span.CopyTo(sum);
        Spare(root);
    }

    /// <summary>
    /// Adds the sum that is missing last and writes the sum of all leaves, in one pass where that is one addition. Empty again afterwards.
    /// </summary>
    /// <param name="node">The node that is missing.</param>
    /// <param name="values">The sum there, which stays the caller's.</param>
    /// <param name="sum">Takes the sum of all; may be memory that was lent.</param>
    /// <exception cref="InvalidOperationException">More than this is missing, or it is not.</exception>
    public void TakeRoot(TreeNode node, ReadOnlySpan<float> values, Span<float> sum)
    {
        var place = Accept(node, values.Length);
        if (place == _tree.Root)
        {
            values.CopyTo(sum);
            return;
        }

        if (_tree.Highest(place.Parent) == _tree.Root && _held.Remove(place.Sibling, out var other))
        {
            AddTo(place, values, other.Span, sum);
            Spare(other);
            return;
        }

        Add(node, values);
        TakeRoot(sum);
    }

    /// <summary>Forgets what it holds and keeps the memory: after a step that is not applied.</summary>
    public void Clear()
    {
        foreach (var buffer in _held.Values) Spare(buffer);
        _held.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var part in TakeParts()) part.Dispose();
        while (_spare.TryPop(out var buffer)) buffer.Dispose();
    }

    private TreeNode Accept(TreeNode node, int length)
    {
        if (length != Length) throw new ArgumentException($"Expected {Length} elements at node {node}, found {length}.", nameof(length));
        if (!_tree.Has(node)) throw new InvalidOperationException($"Node {node} is not in a tree of {_tree.LeafCount} leaves.");
        foreach (var held in _held.Keys)
        {
            if (held.FirstLeaf < _tree.EndLeaf(node) && node.FirstLeaf < _tree.EndLeaf(held))
                throw new InvalidOperationException($"Leaf {Math.Max(held.FirstLeaf, node.FirstLeaf)} would be added twice: node {node} came while {Held()} are held.");
        }

        return _tree.Highest(node);
    }

    /// <summary>Puts a sum in its place and adds pairs as long as there are any.</summary>
    private void Keep(TreeNode node, FloatBuffer sum)
    {
        node = _tree.Highest(node);
        while (_held.Remove(node.Sibling, out var other))
        {
            var both = !other.IsLent ? other : !sum.IsLent ? sum : Rent();
            AddTo(node, sum.Span, other.Span, both.Span);
            if (both != sum) Spare(sum);
            sum = both;
            node = _tree.Highest(node.Parent);
        }

        _held.Add(node, sum);
    }

    /// <summary>Adds to the sibling where that is there.</summary>
    private bool TryJoin(TreeNode place, ReadOnlySpan<float> values)
    {
        if (!_held.Remove(place.Sibling, out var other)) return false;
        var both = other.IsLent ? Rent() : other;
        AddTo(place, values, other.Span, both.Span);
        Keep(place.Parent, both);
        return true;
    }

    /// <summary>sum = left + right, where node and other are siblings.</summary>
    private static void AddTo(TreeNode node, ReadOnlySpan<float> values, ReadOnlySpan<float> other, Span<float> sum)
    {
        if (node.IsLeft) SpanSum.Add(values, other, sum);
        else SpanSum.Add(other, values, sum);
    }

    private FloatBuffer Rent()
    {
        if (_spare.TryPop(out var buffer)) return buffer;
        Count();
        return new FloatBuffer(Length);
    }

    /// <summary>Keeps what the next step will need again; buffers that came with parts would pile up otherwise.</summary>
    private void Spare(FloatBuffer buffer)
    {
        if (_spare.Count <= _tree.Depth && !buffer.IsLent) _spare.Push(buffer);
        else buffer.Dispose();
    }

    private void Count() => PeakBufferCount = Math.Max(PeakBufferCount, _held.Values.Count(buffer => !buffer.IsLent) + _spare.Count + 1);

    private string Held() => _held.Count == 0 ? "none" : string.Join(", ", _held.Keys.OrderBy(node => node.FirstLeaf));
}
