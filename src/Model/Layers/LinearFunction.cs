using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// y = x · Wᵀ whose weight has no autograd edge: backward gives the input's gradient at once and adds the weight's straight into the
/// flat buffer (a product, then one addition), the one kernel that every layout of a run uses.
/// </summary>
internal sealed class LinearFunction : autograd.SingleTensorFunction<LinearFunction>
{
    /// <inheritdoc/>
    public override string Name => nameof(LinearFunction);

    internal static Tensor Apply(Tensor input, ParameterState weight, BackwardFaults faults)
    {
        // Without an input that wants a gradient autograd would drop the function, and the weight would not learn.
        var edge = input.requires_grad ? input : input.detach().requires_grad_(true);
        return apply(edge, weight, faults);
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var input = (Tensor)vars[0];
        var weight = (ParameterState)vars[1];
        ctx.save_for_backward([input]);
        ctx.save_data("weight", weight);
        ctx.save_data("faults", vars[2]);
        return Products.Linear(input, weight.Weight);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        var weight = (ParameterState)ctx.get_data("weight");
        try
        {
            using var guard = no_grad();
            var input = ctx.get_saved_variables()[0];
            var result = Products.MatMul(grad_output, weight.Weight);
            WeightGradient.Add(weight.Gradient, grad_output, input);
            return [result, null!, null!];
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            ((BackwardFaults)ctx.get_data("faults")).Keep(fault);
            return [null!, null!, null!];
        }
    }
}

/// <summary>The one kernel of weight gradients.</summary>
internal static class WeightGradient
{
    /// <summary>Adds gᵀ · x to the flat view, for g [..., O] and x [..., I].</summary>
    internal static void Add(Tensor sum, Tensor gradient, Tensor input)
    {
        using var x = input.reshape(-1, input.shape[^1]);
        using var g = gradient.reshape(-1, gradient.shape[^1]);
        using var transposed = g.t();
        using var product = Products.MatMul(transposed, x);
        sum.add_(product);
    }
}
