using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// The head's product and the cross-entropy in one function: the logits [N, V] are overwritten by their gradient as soon as the loss is
/// known, so that one matrix of that size exists instead of four.
/// </summary>
internal sealed class LinearCrossEntropyFunction : autograd.SingleTensorFunction<LinearCrossEntropyFunction>
{
    /// <inheritdoc/>
    public override string Name => nameof(LinearCrossEntropyFunction);

    internal static Tensor Apply(Tensor hidden, ParameterState weight, Tensor targets, bool tracks, LeafSink leaves, BackwardFaults faults)
    {
        if (tracks) return apply(hidden, weight, targets, leaves, faults);
        using var logits = Logits(hidden, weight);
        return CrossEntropy.Of(logits, targets, wantsGradient: false);
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var hidden = (Tensor)vars[0];
        var weight = (ParameterState)vars[1];
        var logits = Logits(hidden, weight);
        var loss = CrossEntropy.Of(logits, (Tensor)vars[2], wantsGradient: true);
        ctx.set_materialize_grads(false);
        ctx.save_for_backward([hidden, logits]);
        ctx.save_data("weight", weight);
        ctx.save_data("leaves", vars[3]);
        ctx.save_data("faults", vars[4]);
        return loss;
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        try
        {
            // The loss is the end of the graph and is summed, not scaled: its incoming gradient is one.
            using var guard = no_grad();
            var saved = ctx.get_saved_variables();
            var weight = (ParameterState)ctx.get_data("weight");
            using var product = Products.MatMul(saved[1], weight.Weight);
            ((LeafSink)ctx.get_data("leaves")).Put(weight, WeightGradient.OfProduct, saved[1], saved[0]);
            return [product.view(saved[0].shape), null!, null!, null!, null!];
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            ((BackwardFaults)ctx.get_data("faults")).Keep(fault);
            return [null!, null!, null!, null!, null!];
        }
    }

    private static Tensor Logits(Tensor hidden, ParameterState weight)
    {
        using var rows = hidden.reshape(-1, hidden.shape[^1]);
        return Products.Linear(rows, weight.Weight);
    }
}
