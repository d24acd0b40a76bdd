using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// Causal attention in fp32 on a CPU, in blocks of query rows: each block is multiplied with the keys up to its own end only, so most of
/// the masked half is never computed, and scale, mask and softmax are one pass over a row in the cache. The probabilities are kept for
/// backward (they are small beside a block's other activations up to <see cref="LongestSequence"/>).
/// </summary>
internal sealed class BlockedAttentionFunction : autograd.SingleTensorFunction<BlockedAttentionFunction>
{
    /// <summary>Beyond this many positions the kept probabilities would outgrow the other activations.</summary>
    internal const int LongestSequence = 512;
    private const int BlockRows = 128;

    /// <inheritdoc/>
    public override string Name => nameof(BlockedAttentionFunction);

    /// <summary>Attention of q, k, v [B, H, T, d], with T at most <see cref="LongestSequence"/>.</summary>
    internal static Tensor Apply(Tensor query, Tensor key, Tensor value, BackwardFaults faults) => apply(query, key, value, faults);

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (query, key, value) = (Flat((Tensor)vars[0]), Flat((Tensor)vars[1]), Flat((Tensor)vars[2]));
        var result = empty_like(query);
        var scale = (float)(1 / Math.Sqrt(query.shape[2]));
        List<Tensor> saved = [query, key, value];
        foreach (var (start, count) in Blocks(query.shape[1]))
        {
            using var rows = query.narrow(1, start, count);
            using var keys = key.narrow(1, 0, start + count);
            using var values = value.narrow(1, 0, start + count);
            using var transposed = keys.transpose(1, 2);
            var probabilities = rows.bmm(transposed);
            CausalSoftmax.Forward(probabilities, (int)start, scale);
            using var mixed = probabilities.bmm(values);
            using var target = result.narrow(1, start, count);
            target.copy_(mixed);
            saved.Add(probabilities);
        }

        ctx.save_for_backward(saved);
        ctx.save_data("faults", vars[3]);
        return result.view(((Tensor)vars[0]).shape);
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
            var block = 3;
            foreach (var (start, count) in Blocks(shape[2]))
                Block(saved, saved[block++], gradient, (query, key, value), start, count);
            return [query.view(shape), key.view(shape), value.view(shape), null!];
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            ((BackwardFaults)ctx.get_data("faults")).Keep(fault);
            return [null!, null!, null!, null!];
        }
    }

    private static void Block(
        List<Tensor> saved, Tensor probabilities, Tensor gradient, (Tensor Query, Tensor Key, Tensor Value) sums, long start, long count)
    {
        using var scope = NewDisposeScope();
        var rows = gradient.narrow(1, start, count);
        var scores = rows.bmm(saved[2].narrow(1, 0, start + count).transpose(1, 2));
        sums.Value.narrow(1, 0, start + count).add_(probabilities.transpose(1, 2).bmm(rows));
        CausalSoftmax.Backward(probabilities, scores, (int)start, (float)(1 / Math.Sqrt(gradient.shape[2])));
        sums.Query.narrow(1, start, count).copy_(scores.bmm(saved[1].narrow(1, 0, start + count)));
        sums.Key.narrow(1, 0, start + count).add_(scores.transpose(1, 2).bmm(saved[0].narrow(1, start, count)));
    }

    private static IEnumerable<(long Start, long Count)> Blocks(long length)
    {
        for (long start = 0; start < length; start += BlockRows) yield return (start, Math.Min(BlockRows, length - start));
    }

    private static Tensor Flat(Tensor heads) => heads.reshape(-1, heads.shape[2], heads.shape[3]).contiguous();
}

/// <summary>Scale, causal mask and softmax of score rows, in place.</summary>
internal static class CausalSoftmax
{
    /// <summary>scores [N, R, K] ← softmax of the first <paramref name="start"/> + r + 1 columns of row r, zero beyond.</summary>
    internal static void Forward(Tensor scores, int start, float scale)
    {
        var (rows, columns) = ((int)scores.shape[1], (int)scores.shape[2]);
        for (long head = 0; head < scores.shape[0]; head++)
        {
            using var slice = scores.narrow(0, head, 1);
            var values = MemoryMarshal.Cast<byte, float>(slice.bytes);
            for (var row = 0; row < rows; row++)
            {
                var line = values.Slice(row * columns, columns);
                var seen = line[..(start + row + 1)];
                RowKernels.ScaleInPlace(seen, scale);
                var sum = RowKernels.ExponentialsInPlace(seen, RowKernels.Maximum(seen));
                RowKernels.ScaleInPlace(seen, (float)(1 / sum));
                line[seen.Length..].Clear();
            }
        }
    }

    /// <summary>gradients [N, R, K] ← scale · p ∘ (g − Σ p ∘ g): the gradient of the scores before scaling.</summary>
    internal static void Backward(Tensor probabilities, Tensor gradients, int start, float scale)
    {
        var (rows, columns) = ((int)gradients.shape[1], (int)gradients.shape[2]);
        for (long head = 0; head < gradients.shape[0]; head++)
        {
            using var known = probabilities.narrow(0, head, 1);
            using var slice = gradients.narrow(0, head, 1);
            var p = MemoryMarshal.Cast<byte, float>(known.bytes);
            var g = MemoryMarshal.Cast<byte, float>(slice.bytes);
            for (var row = 0; row < rows; row++)
            {
                var line = g.Slice(row * columns, columns);
                var seenCount = start + row + 1;
                Row(p.Slice(row * columns, seenCount), line[..seenCount], scale);
                line[seenCount..].Clear();
            }
        }
    }

    private static void Row(ReadOnlySpan<float> probabilities, Span<float> gradients, float scale)
    {
        ref var p = ref MemoryMarshal.GetReference(probabilities);
        ref var g = ref MemoryMarshal.GetReference(gradients);
        var running = Vector256<float>.Zero;
        var index = 0;
        for (; index <= gradients.Length - 8; index += 8)
            running += Vector256.LoadUnsafe(ref p, (nuint)index) * Vector256.LoadUnsafe(ref g, (nuint)index);
        var sum = Vector256.Sum(running);
        for (var tail = index; tail < gradients.Length; tail++) sum += probabilities[tail] * gradients[tail];
        var (mean, factor) = (Vector256.Create(sum), Vector256.Create(scale));
        for (index = 0; index <= gradients.Length - 8; index += 8)
        {
            var result = Vector256.LoadUnsafe(ref p, (nuint)index) * (Vector256.LoadUnsafe(ref g, (nuint)index) - mean) * factor;
            result.StoreUnsafe(ref g, (nuint)index);
        }

        for (; index < gradients.Length; index++) gradients[index] = probabilities[index] * (gradients[index] - sum) * scale;
    }
}
