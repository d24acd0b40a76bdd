using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// y = x · Wᵀ whose weight has no autograd edge: backward gives the input's gradient at once and leaves the weight's to the micro-batch's
/// <see cref="LeafSink"/>, which adds it to the flat buffer (a product, then one addition) then or later.
/// </summary>
internal sealed class LinearFunction : autograd.SingleTensorFunction<LinearFunction>
{
    /// <inheritdoc/>
    public override string Name => nameof(LinearFunction);

    internal static Tensor Apply(Tensor input, ParameterState weight, LeafSink leaves, BackwardFaults faults)
    {
        // Without an input that wants a gradient autograd would drop the function, and the weight would not learn.
        var edge = input.requires_grad ? input : input.detach().requires_grad_(true);
        return apply(edge, weight, leaves, faults);
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var input = (Tensor)vars[0];
        var weight = (ParameterState)vars[1];
        ctx.set_materialize_grads(false);
        ctx.save_for_backward([input]);
        ctx.save_data("weight", weight);
        ctx.save_data("leaves", vars[2]);
        ctx.save_data("faults", vars[3]);
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
            ((LeafSink)ctx.get_data("leaves")).Put(weight, WeightGradient.OfProduct, grad_output, input);
            return [result, null!, null!, null!];
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            ((BackwardFaults)ctx.get_data("faults")).Keep(fault);
            return [null!, null!, null!, null!];
        }
    }
}
