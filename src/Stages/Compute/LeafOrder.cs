using Pipeline.Model.Training;

namespace Pipeline.Stages;

/// <summary>
/// Adds one stage's leaves to its gradient in the order of the micro-batches, whatever order a schedule makes them in: that order is part
/// of the bits. A leaf whose turn has not come is computed and kept. While the former step is not settled its gradient is still needed,
/// so that every leaf is kept. Owns what it keeps.
/// </summary>
/// <param name="microBatchCount">Leaves of a step.</param>
/// <param name="finished">Told units of the stage, the last first, as soon as a micro-batch's leaf has been added to them; micro-batches in their order.</param>
internal sealed class LeafOrder(int microBatchCount, Action<int, Range> finished) : IDisposable
{
    private readonly Dictionary<int, MicroBatchLeaf> _deferred = [];
    private readonly Dictionary<int, MicroBatchLeaf> _computed = [];
    private int _next;
    private bool _isOpen = true;
    private bool _isReported;

    /// <summary>Begins a step, or the same one anew.</summary>
    internal void Begin(bool isOpen)
    {
        Dispose();
        _next = 0;
        _isOpen = isOpen;
        _isReported = false;
    }

    /// <summary>Whether a micro-batch's gradients may be added while they are computed.</summary>
    internal bool IsTurnOf(int microBatch) => _isOpen && microBatch == _next;

    /// <summary>Notes that the leaf whose turn it was has been added, and its units told.</summary>
    internal void Added()
    {
        _next++;
        Proceed();
    }

    /// <summary>Keeps a leaf between the two halves of a split backward.</summary>
    internal void Defer(int microBatch, MicroBatchLeaf leaf) => _deferred.Add(microBatch, leaf);

    /// <summary>The weight-gradient half of a split backward.</summary>
    /// <exception cref="InvalidOperationException">The input-gradient half has not run.</exception>
    internal void Finish(int microBatch)
    {
        if (!_deferred.Remove(microBatch, out var leaf)) throw new InvalidOperationException($"There is no input-gradient half of micro-batch {microBatch}.");
        Take(microBatch, leaf);
    }

    /// <summary>Takes a finished leaf: adds it if its turn has come, keeps it otherwise.</summary>
    internal void Take(int microBatch, MicroBatchLeaf leaf)
    {
        if (IsTurnOf(microBatch))
        {
            AddNext(leaf);
            Proceed();
            return;
        }

        _computed.Add(microBatch, leaf);
        leaf.Compute();
    }

    /// <summary>The gradient is free: adds what was kept back for it.</summary>
    internal void Open()
    {
        _isOpen = true;
        Proceed();
    }

    /// <summary>True once a step, when the last leaf has been added.</summary>
    internal bool TryComplete()
    {
        if (_isReported || _next < microBatchCount) return false;
        _isReported = true;
        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var leaf in _deferred.Values.Concat(_computed.Values)) leaf.Dispose();
        _deferred.Clear();
        _computed.Clear();
    }

    private void Proceed()
    {
        while (_computed.Remove(_next, out var leaf))
        {
            AddNext(leaf);
        }
    }

    private void AddNext(MicroBatchLeaf leaf)
    {
        using (leaf) leaf.Add(units => finished(_next, units));
        _next++;
    }
}
