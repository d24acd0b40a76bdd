using Pipeline.Model.Layers;
using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>
/// One contribution of one micro-batch to the gradient of one parameter, not yet added to it: first the operands of its kernel, once
/// computed its value. Owns whichever of the two it holds.
/// </summary>
internal sealed class LeafPart : IDisposable
{
    private readonly ParameterState _parameter;
    private readonly WeightGradientKernel? _kernel;
    private Tensor? _gradient;
    private Tensor? _operand;
    private Tensor? _value;

    /// <summary>A contribution that is still to be computed. The operands stay the caller's; what is kept shares their memory.</summary>
    internal LeafPart(ParameterState parameter, WeightGradientKernel kernel, Tensor gradient, Tensor operand)
    {
        _parameter = parameter;
        _kernel = kernel;
        // Detached: a saved operand would otherwise keep the graph that made it.
        _gradient = gradient.detach().DetachFromDisposeScope();
        _operand = operand.detach().DetachFromDisposeScope();
    }

    /// <summary>A contribution that autograd has computed; takes ownership.</summary>
    internal LeafPart(ParameterState parameter, Tensor value)
    {
        _parameter = parameter;
        _value = value.DetachFromDisposeScope();
    }

    /// <summary>Computes the value and lets the operands go. Without effect the second time.</summary>
    internal void Compute()
    {
        if (_value is not null) return;
        _value = _kernel!(_parameter, _gradient!, _operand!).DetachFromDisposeScope();
        FreeOperands();
    }

    /// <summary>Adds the value to the parameter's gradient, in one fp32 addition.</summary>
    internal void Add()
    {
        Compute();
        _parameter.Gradient.AddInPlace(_value!);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        FreeOperands();
        _value?.Dispose();
    }

    private void FreeOperands()
    {
        _gradient?.Dispose();
        _operand?.Dispose();
        _gradient = _operand = null;
    }
}
