using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>Computes one contribution to a parameter's gradient from the gradient of an operation's output and its saved operand.</summary>
internal delegate Tensor WeightGradientKernel(ParameterState parameter, Tensor gradient, Tensor operand);

/// <summary>The kernels of weight gradients: one for products, one for look-ups, the same in every layout of a run.</summary>
internal static class WeightGradient
{
    /// <summary>gᵀ · x for g [..., O] and x [..., I]: [O, I].</summary>
    internal static Tensor OfProduct(ParameterState parameter, Tensor gradient, Tensor input)
    {
        using var x = input.reshape(-1, input.shape[^1]);
        using var g = gradient.reshape(-1, gradient.shape[^1]);
        using var transposed = g.t();
        return Products.MatMul(transposed, x);
    }

    /// <summary>Rows of g [..., D] summed by token into a table of the parameter's size: [V, D].</summary>
    internal static Tensor OfRows(ParameterState parameter, Tensor gradient, Tensor tokens)
    {
        using var flat = tokens.view(-1);
        using var rows = gradient.reshape(-1, gradient.shape[^1]);
        using var wide = rows.to_type(parameter.Gradient.dtype);
        var leaf = zeros_like(parameter.Gradient);
        leaf.AddRowsInPlace(flat, wide);
        return leaf;
    }
}
