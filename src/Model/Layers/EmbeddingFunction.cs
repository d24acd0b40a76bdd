using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// Rows of a table by token. Backward sums the micro-batch's gradient rows into a leaf of the table's size first and adds that leaf to
/// the flat buffer once, as every other parameter does.
/// </summary>
internal sealed class EmbeddingFunction : autograd.SingleTensorFunction<EmbeddingFunction>
{
    /// <inheritdoc/>
    public override string Name => nameof(EmbeddingFunction);

    internal static Tensor Apply(Tensor tokens, ParameterState table, BackwardFaults faults) => apply(table.Leaf, tokens, table, faults);

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
        ctx.save_for_backward([tokens]);
        ctx.save_data("table", table);
        ctx.save_data("faults", vars[3]);
        return Rows(tokens, table.Weight);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        try
        {
            using var guard = no_grad();
            var table = (ParameterState)ctx.get_data("table");
            using var tokens = ctx.get_saved_variables()[0].view(-1);
            using var rows = grad_output.reshape(-1, grad_output.shape[^1]);
            using var wide = rows.to_type(table.Gradient.dtype);
            using var leaf = zeros_like(table.Gradient);
            leaf.index_add_(0, tokens, wide, 1);
            table.Gradient.add_(leaf);
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            ((BackwardFaults)ctx.get_data("faults")).Keep(fault);
        }

        return [null!, null!, null!, null!];
    }
}
