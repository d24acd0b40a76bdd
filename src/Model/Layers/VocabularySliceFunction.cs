using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// The product of one slice of the vocabulary, in one function with its share of the cross-entropy. Its logits wait for the backward, since
/// only the last slice knows the sum over all; they are then overwritten by their gradient.
/// </summary>
internal sealed class VocabularySliceFunction : autograd.SingleTensorFunction<VocabularySliceFunction>
{
    /// <inheritdoc/>
    public override string Name => nameof(VocabularySliceFunction);

    /// <summary>What the next slice reads, or from the last one the loss summed over tokens, fp64.</summary>
    internal static Tensor Apply(Tensor input, ParameterState weight, VocabularySlice slice, Tensor targets, bool tracks, LeafSink leaves, BackwardFaults faults)
    {
        if (tracks) return apply(input, weight, slice, targets, leaves, faults);
        using var scope = NewDisposeScope();
        return Compute(input, weight, slice, targets).Output.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (weight, slice) = ((ParameterState)vars[1], (VocabularySlice)vars[2]);
        var targets = (Tensor)vars[3];
        var (output, hidden, logits, statistics) = Compute((Tensor)vars[0], weight, slice, targets);
        ctx.set_materialize_grads(false);
        ctx.save_for_backward([hidden, logits, targets, statistics]);
        ctx.save_data("weight", weight);
        ctx.save_data("slice", slice);
        ctx.save_data("leaves", vars[4]);
        ctx.save_data("faults", vars[5]);
        return output;
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        try
        {
            using var guard = no_grad();
            var saved = ctx.get_saved_variables();
            var (weight, slice) = ((ParameterState)ctx.get_data("weight"), (VocabularySlice)ctx.get_data("slice"));
            // The loss is the end of the graph and is summed, not scaled: its incoming gradient is one.
            using var statistics = slice.IsLast ? saved[3].clone() : slice.Statistics(grad_output);
            SlicedSoftmax.GradientInPlace(saved[1], saved[2], slice.FirstToken, statistics);
            using var product = Products.MatMul(saved[1], weight.Weight);
            using var own = product.view(saved[0].shape);
            using var sum = Sum(own, slice, grad_output);
            ((LeafSink)ctx.get_data("leaves")).Put(weight, WeightGradient.OfProduct, saved[1], saved[0]);
            return [slice.IsFirst ? sum.alias() : VocabularySlice.Join(sum, statistics), null!, null!, null!, null!, null!];
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            ((BackwardFaults)ctx.get_data("faults")).Keep(fault);
            return [null!, null!, null!, null!, null!, null!];
        }
    }

    // The slices behind come first: the order in which the backward meets them, wherever the stages are cut.
    private static Tensor Sum(Tensor own, VocabularySlice slice, Tensor outputGradient)
    {
        if (slice.IsLast) return own.alias();
        using var behind = slice.Hidden(outputGradient);
        return behind.Plus(own);
    }

    private static (Tensor Output, Tensor Hidden, Tensor Logits, Tensor Statistics) Compute(Tensor input, ParameterState weight, VocabularySlice slice, Tensor targets)
    {
        var hidden = slice.IsFirst ? input : slice.Hidden(input);
        using var rows = hidden.reshape(-1, hidden.shape[^1]);
        var logits = Products.Linear(rows, weight.Weight);
        using var former = slice.IsFirst ? null : slice.Statistics(input);
        var statistics = SlicedSoftmax.With(logits, targets, slice.FirstToken, former);
        return (slice.IsLast ? SlicedSoftmax.Loss(statistics) : VocabularySlice.Join(hidden, statistics), hidden, logits, statistics);
    }
}
