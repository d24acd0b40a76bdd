using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>
/// Tensors that a function's backward needs and that its forward did not keep: computed from what it kept, to the same bits, when the pass
/// recomputes, or at the latest when the backward asks for them. Owns them and the operands, until the backward has used them.
/// </summary>
internal sealed class DroppedTensors : IDisposable
{
    private readonly Func<IReadOnlyList<Tensor>, IEnumerable<Tensor>> _compute;
    private readonly IReadOnlyList<Tensor> _operands;
    private IReadOnlyList<Tensor> _values = [];

    internal DroppedTensors(IEnumerable<Tensor> operands, Func<IReadOnlyList<Tensor>, IEnumerable<Tensor>> compute)
    {
        _operands = [.. operands.Select(operand => operand.detach().DetachFromDisposeScope())];
        _compute = compute;
    }

    /// <summary>Computes them, once.</summary>
    internal IReadOnlyList<Tensor> Restore()
    {
        if (_values.Count > 0) return _values;
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        return _values = [.. _compute(_operands).Select(value => value.DetachFromDisposeScope())];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in _operands.Concat(_values)) tensor.Dispose();
        _values = [];
    }
}

/// <summary>Where the functions of one pass leave what they dropped. Owns it.</summary>
internal sealed class DroppedSlots : IDisposable
{
    private readonly List<DroppedTensors> _slots = [];

    /// <summary>For functions that are to keep everything.</summary>
    internal static DroppedSlots None { get; } = new();

    internal DroppedTensors Add(IEnumerable<Tensor> operands, Func<IReadOnlyList<Tensor>, IEnumerable<Tensor>> compute)
    {
        var dropped = new DroppedTensors(operands, compute);
        _slots.Add(dropped);
        return dropped;
    }

    internal void Restore()
    {
        foreach (var slot in _slots) slot.Restore();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var slot in _slots) slot.Dispose();
        _slots.Clear();
    }
}
