using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// Causal attention in fp32 or bf16 on a CPU, in blocks of query rows: each block is multiplied with the keys up to its own end only, so most of
/// the masked half is never computed, and scale, mask and softmax are one pass over a row in the cache. The probabilities are kept for
/// backward (they are small beside a block's other activations up to <see cref="LongestSequence"/>), or dropped and computed again before it.
/// </summary>
internal sealed class BlockedAttentionFunction : autograd.SingleTensorFunction<BlockedAttentionFunction>
{
    /// <summary>Beyond this many positions the kept probabilities would outgrow the other activations.</summary>
    internal const int LongestSequence = 512;
    private const int BlockRows = 128;

    /// <inheritdoc/>
    public override string Name => nameof(BlockedAttentionFunction);

    /// <summary>Attention of q, k, v [B, H, T, d], with T at most <see cref="LongestSequence"/>; what backward needs is kept if it trains.</summary>
    /// <param name="query">q.</param>
    /// <param name="key">k.</param>
    /// <param name="value">v.</param>
    /// <param name="trains">Whether a backward follows.</param>
    /// <param name="faults">Where backward leaves what it threw.</param>
    /// <param name="dropped">Where the probabilities are to be computed again; null to keep them.</param>
    internal static Tensor Apply(Tensor query, Tensor key, Tensor value, bool trains, BackwardFaults faults, DroppedSlots? dropped = null) =>
        trains ? apply(query, key, value, faults, dropped ?? DroppedSlots.None) : Forward(query, key, value, null, false);

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        List<Tensor> saved = [];
        var slots = (DroppedSlots)vars[4];
        var keeps = ReferenceEquals(slots, DroppedSlots.None);
        var result = Forward((Tensor)vars[0], (Tensor)vars[1], (Tensor)vars[2], saved, keeps);
        ctx.set_materialize_grads(false);
        ctx.save_for_backward(saved);
        ctx.save_data("faults", vars[3]);
        ctx.save_data("dropped", keeps ? slots : slots.Add(saved.Take(2), Probabilities));
        return result;
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        try
        {
            using var guard = no_grad();
            var shape = grad_output.shape;
            var saved = ctx.get_saved_variables();
            using var gradient = Flat(grad_output);
            var (query, key, value) = (zeros_like(saved[0]), zeros_like(saved[1]), zeros_like(saved[2]));
            using var dropped = ctx.get_data("dropped") as DroppedTensors;
            var probabilities = dropped?.Restore() ?? saved[3..];
            var block = 0;
            foreach (var (start, count) in Blocks(shape[2]))
                Block(saved, probabilities[block++], gradient, (query, key, value), start, count);
            return [query.view(shape), key.view(shape), value.view(shape), null!, null!];
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            ((BackwardFaults)ctx.get_data("faults")).Keep(fault);
            return [null!, null!, null!, null!, null!];
        }
    }

    /// <summary>Fills <paramref name="kept"/>, where there is one, with flat q, k, v and, if wanted, each block's probabilities.</summary>
    private static Tensor Forward(Tensor heads, Tensor keyHeads, Tensor valueHeads, List<Tensor>? kept, bool keepsProbabilities)
    {
        using var scope = NewDisposeScope();
        var (query, key, value) = (Flat(heads), Flat(keyHeads), Flat(valueHeads));
        var result = empty_like(query);
        kept?.AddRange([query, key, value]);
        foreach (var (start, count) in Blocks(query.shape[1]))
        {
            var probabilities = Probabilities(query, key, start, count);
            result.narrow(1, start, count).copy_(probabilities.bmm(value.narrow(1, 0, start + count)));
            if (keepsProbabilities) kept!.Add(probabilities);
            else probabilities.Dispose();
        }

        foreach (var tensor in kept ?? []) tensor.MoveToOuterDisposeScope();
        return result.view(heads.shape).MoveToOuterDisposeScope();
    }

    private static IEnumerable<Tensor> Probabilities(IReadOnlyList<Tensor> queryAndKey) =>
        Blocks(queryAndKey[0].shape[1]).Select(block => Probabilities(queryAndKey[0], queryAndKey[1], block.Start, block.Count));

    private static Tensor Probabilities(Tensor query, Tensor key, long start, long count)
    {
        var probabilities = query.narrow(1, start, count).bmm(key.narrow(1, 0, start + count).transpose(1, 2));
        CausalSoftmax.Forward(probabilities, (int)start, (float)(1 / Math.Sqrt(query.shape[2])));
        return probabilities;
    }

    private static void Block(
        List<Tensor> saved, Tensor probabilities, Tensor gradient, (Tensor Query, Tensor Key, Tensor Value) sums, long start, long count)
    {
        using var scope = NewDisposeScope();
        var rows = gradient.narrow(1, start, count);
        var scores = rows.bmm(saved[2].narrow(1, 0, start + count).transpose(1, 2));
        sums.Value.narrow(1, 0, start + count).AddInPlace(probabilities.transpose(1, 2).bmm(rows));
        CausalSoftmax.Backward(probabilities, scores, (int)start, (float)(1 / Math.Sqrt(gradient.shape[2])));
        sums.Query.narrow(1, start, count).copy_(scores.bmm(saved[1].narrow(1, 0, start + count)));
        sums.Key.narrow(1, 0, start + count).AddInPlace(scores.transpose(1, 2).bmm(saved[0].narrow(1, start, count)));
    }

    private static IEnumerable<(long Start, long Count)> Blocks(long length)
    {
        for (long start = 0; start < length; start += BlockRows) yield return (start, Math.Min(BlockRows, length - start));
    }

    private static Tensor Flat(Tensor heads) => heads.reshape(-1, heads.shape[2], heads.shape[3]).contiguous();
}
