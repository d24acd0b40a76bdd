using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>The views of one parameter into its unit's flat buffers. Owned by the <see cref="UnitState"/>.</summary>
public sealed class ParameterState : IDisposable
{
    internal ParameterState(UnitState unit, ParameterSpec spec, long offset)
    {
        Spec = spec;
        FullName = unit.Unit.FullName(spec);
        Master = View(unit.Master, offset);
        var compute = spec.ComputesInMaster ? unit.Working : unit.Compute;
        Weight = View(compute, offset);
        Leaf = View(compute, offset);
        if (!unit.Trains) return;
        Gradient = View(unit.Gradient, offset);
        FirstMoment = View(unit.FirstMoment, offset);
        SecondMoment = View(unit.SecondMoment, offset);
        Leaf.requires_grad_(true);
    }

    /// <summary>What the parameter is.</summary>
    public ParameterSpec Spec { get; }

    /// <summary><c>unit.parameter</c>.</summary>
    public string FullName { get; }

    /// <summary>Master values.</summary>
    public Tensor Master { get; }

    /// <summary>Compute values without an autograd edge: for functions that put the gradient into <see cref="Gradient"/> themselves.</summary>
    public Tensor Weight { get; }

    /// <summary>Compute values as an autograd leaf.</summary>
    public Tensor Leaf { get; }

    /// <summary>Summed gradient.</summary>
    public Tensor Gradient { get; } = null!;

    /// <summary>First moment.</summary>
    public Tensor FirstMoment { get; } = null!;

    /// <summary>Second moment.</summary>
    public Tensor SecondMoment { get; } = null!;

    /// <summary>What autograd left for this parameter in a backward, which the caller owns; null if nothing.</summary>
    internal Tensor? TakeLeaf()
    {
        if (Leaf.grad is not { } leaf) return null;
        Leaf.grad = null;
        return leaf;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Master.Dispose();
        Weight.Dispose();
        Leaf.Dispose();
        Gradient?.Dispose();
        FirstMoment?.Dispose();
        SecondMoment?.Dispose();
    }

    private Tensor View(Tensor flat, long offset)
    {
        using var range = flat.narrow(0, offset, Spec.ElementCount);
        using var shaped = range.view(Spec.Shape);
        return shaped.detach().DetachFromDisposeScope();
    }
}
