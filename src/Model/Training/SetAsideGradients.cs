using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Training;

/// <summary>The summed gradients of some micro-batches, kept apart while others are summed in the flat buffers. Owns its copies.</summary>
internal sealed class SetAsideGradients : IDisposable
{
    private readonly IReadOnlyList<UnitState> _units;
    private readonly Tensor[] _sums;

    /// <summary>Copies the gradients of the units and clears them.</summary>
    internal SetAsideGradients(IReadOnlyList<UnitState> units)
    {
        using var guard = no_grad();
        _units = units;
        _sums = [.. units.Select(unit => unit.Gradient.clone().DetachFromDisposeScope())];
        foreach (var unit in units) unit.Gradient.FillInPlace(0);
    }

    /// <summary>Adds the copies, as the left operands, to what the buffers hold now.</summary>
    internal void AddToGradients()
    {
        using var guard = no_grad();
        // fp32 addition commutes, so adding the left operand in place gives the bits of left + right.
        for (var index = 0; index < _sums.Length; index++) _units[index].Gradient.AddInPlace(_sums[index]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var sum in _sums) sum.Dispose();
    }
}
