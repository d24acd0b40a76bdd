using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>The views of one parameter into its unit's flat buffers. Owned by the <see cref="UnitState"/>.</summary>
public sealed class ParameterState : IDisposable
{
    private readonly Tensor? _master;
    private readonly Tensor? _firstMoment;
    private readonly Tensor? _secondMoment;
    private readonly Tensor? _summedGradient;
    private readonly bool _trains;

    internal ParameterState(UnitState unit, ParameterSpec spec, ParameterPlace place)
    {
        Spec = spec;
        Offset = place.Offset;
        _trains = unit.Trains;
        FullName = unit.Unit.FullName(spec);
        if (place.MasterOffset is { } master) _master = View(unit.Master, master);
        var compute = spec.ComputesInMaster ? unit.Working : unit.Compute;
        var offset = spec.ComputesInMaster && ReferenceEquals(unit.Working, unit.Master) ? place.MasterOffset!.Value : place.Offset;
        Weight = View(compute, offset);
        Leaf = View(compute, offset);
        if (!unit.Trains) return;
        Leaf.requires_grad_(true);
        if (!unit.KeepsOwnedGradients) Gradient = _summedGradient = View(unit.Gradient, place.Offset);
        if (place.MomentOffset is not { } moments) return;
        if (unit.KeepsOwnedGradients) _summedGradient = View(unit.SummedGradient, moments);
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
    public bool IsOwned => !_trains || _firstMoment is not null;

    /// <summary>Master values.</summary>
    /// <exception cref="InvalidOperationException">Another replica has them.</exception>
    public Tensor Master => _master ?? throw ElsewhereException();

    /// <summary>Compute values without an autograd edge: for functions that put the gradient into <see cref="Gradient"/> themselves.</summary>
    public Tensor Weight { get; }

    /// <summary>Compute values as an autograd leaf.</summary>
    public Tensor Leaf { get; }

    /// <summary>First element in gradients and weights of the whole unit.</summary>
    public long Offset { get; }

    /// <summary>The gradient that backward adds to; null where it is lent and was not lent yet.</summary>
    public Tensor Gradient { get; private set; } = null!;

    /// <summary>The gradient that the optimizer reads, summed.</summary>
    /// <exception cref="InvalidOperationException">Another replica has it.</exception>
    public Tensor SummedGradient => _summedGradient ?? throw ElsewhereException();

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

    /// <summary>See <see cref="UnitState.LendGradient"/>.</summary>
    internal void LendGradient(Tensor memory)
    {
        Gradient?.Dispose();
        Gradient = View(memory, Offset);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _master?.Dispose();
        Weight.Dispose();
        Leaf.Dispose();
        Gradient?.Dispose();
        if (!ReferenceEquals(_summedGradient, Gradient)) _summedGradient?.Dispose();
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
