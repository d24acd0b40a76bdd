using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>The views of one parameter into its unit's flat buffers. Owned by the <see cref="UnitState"/>.</summary>
public sealed class ParameterState : IDisposable
{
    private readonly Tensor? _master;
    private readonly Tensor? _firstMoment;
    private readonly Tensor? _secondMoment;

    internal ParameterState(UnitState unit, ParameterSpec spec, ParameterPlace place)
    {
        Spec = spec;
        FullName = unit.Unit.FullName(spec);
        if (place.MasterOffset is { } master) _master = View(unit.Master, master);
        var compute = spec.ComputesInMaster ? unit.Working : unit.Compute;
        var offset = spec.ComputesInMaster && ReferenceEquals(unit.Working, unit.Master) ? place.MasterOffset!.Value : place.Offset;
        Weight = View(compute, offset);
        Leaf = View(compute, offset);
        if (!unit.Trains) return;
        Gradient = View(unit.Gradient, place.Offset);
        Leaf.requires_grad_(true);
        if (place.MomentOffset is not { } moments) return;
        _firstMoment = View(unit.FirstMoment, moments);
        _secondMoment = View(unit.SecondMoment, moments);
    }

    /// <summary>What the parameter is.</summary>
    public ParameterSpec Spec { get; }

    /// <summary><c>unit.parameter</c>.</summary>
    public string FullName { get; }

    /// <summary>Whether its master values are here.</summary>
    public bool HasMaster => _master is not null;

    /// <summary>Whether its optimizer state is here; always in a unit that does not train.</summary>
    public bool IsOwned => Gradient is null || _firstMoment is not null;

    /// <summary>Master values.</summary>
    /// <exception cref="InvalidOperationException">Another replica has them.</exception>
    public Tensor Master => _master ?? throw ElsewhereException();

    /// <summary>Compute values without an autograd edge: for functions that put the gradient into <see cref="Gradient"/> themselves.</summary>
    public Tensor Weight { get; }

    /// <summary>Compute values as an autograd leaf.</summary>
    public Tensor Leaf { get; }

    /// <summary>Summed gradient.</summary>
    public Tensor Gradient { get; } = null!;

    /// <summary>First moment.</summary>
    /// <exception cref="InvalidOperationException">Another replica has it.</exception>
    public Tensor FirstMoment => _firstMoment ?? throw ElsewhereException();

    /// <summary>Second moment.</summary>
    /// <exception cref="InvalidOperationException">Another replica has it.</exception>
    public Tensor SecondMoment => _secondMoment ?? throw ElsewhereException();

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
        _master?.Dispose();
        Weight.Dispose();
        Leaf.Dispose();
        Gradient?.Dispose();
        _firstMoment?.Dispose();
        _secondMoment?.Dispose();
    }

    private InvalidOperationException ElsewhereException() => new($"The optimizer state of {FullName} is not here: another replica owns it, or the unit does not train.");

    private Tensor View(Tensor flat, long offset)
    {
        using var range = flat.narrow(0, offset, Spec.ElementCount);
        using var shaped = range.view(Spec.Shape);
        return shaped.detach().DetachFromDisposeScope();
    }
}
