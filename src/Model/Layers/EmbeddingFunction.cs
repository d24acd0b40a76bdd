using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// Rows of a table by token. Backward sums the micro-batch's gradient rows into a leaf of the table's size first; that leaf is added to
/// the flat buffer once, as those of every other parameter are.
/// </summary>
internal sealed class EmbeddingFunction : autograd.SingleTensorFunction<EmbeddingFunction>
{
    /// <inheritdoc/>
    public override string Name => nameof(EmbeddingFunction);

    internal static Tensor Apply(Tensor tokens, ParameterState table, LeafSink leaves, BackwardFaults faults) =>
        apply(table.Leaf, tokens, table, leaves, faults);

    internal static Tensor Rows(Tensor tokens, Tensor table)
    {
        using var flat = tokens.view(-1);
        using var rows = table.index_select(0, flat);
        return rows.view([.. tokens.shape, table.shape[1]]);
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var tokens = (Tensor)vars[1];
        var table = (ParameterState)vars[2];
        ctx.set_materialize_grads(false);
        ctx.save_for_backward([tokens]);
        ctx.save_data("table", table);
        ctx.save_data("leaves", vars[3]);
        ctx.save_data("faults", vars[4]);
        return Rows(tokens, table.Weight);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        try
        {
            using var guard = no_grad();
            var table = (ParameterState)ctx.get_data("table");
            ((LeafSink)ctx.get_data("leaves")).Put(table, WeightGradient.OfRows, grad_output, ctx.get_saved_variables()[0]);
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            ((BackwardFaults)ctx.get_data("faults")).Keep(fault);
        }

        return [null!, null!, null!, null!, null!];
    }
}
