using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// Softmax and cross-entropy over a vocabulary of which only a slice is at hand: for each token the maximum of the logits seen so far, the
/// sum of their exponentials below it, and the target's logit (the online normaliser of Milakov and Gimelshein 2018). Slices are met in
/// the order of the vocabulary; the bits depend on where it is cut, not on where a slice is computed.
/// </summary>
internal static class SlicedSoftmax
{
    /// <summary>Numbers of a token: maximum, sum, target's logit.</summary>
    internal const int StatisticCount = 3;

    private const long PieceBytes = 1L << 30;

    private delegate void RowWork(int row, Span<float> logits);

    /// <summary>The statistics [N, 3] in fp64 after a slice, whose logits [N, V'] stay as they are.</summary>
    /// <param name="logits">Of the slice.</param>
    /// <param name="targets">[B, T] tokens of the whole vocabulary.</param>
    /// <param name="firstToken">First token of the slice.</param>
    /// <param name="former">Statistics of the slices before; null at the first.</param>
    internal static Tensor With(Tensor logits, Tensor targets, long firstToken, Tensor? former)
    {
        using var guard = no_grad();
        using var flat = targets.view(-1);
        if (!ElementWise.Serves(logits)) return OnDevice.With(logits, flat, firstToken, former);
        var statistics = former?.clone() ?? empty([logits.shape[0], StatisticCount], ScalarType.Float64);
        var scratch = new float[logits.shape[1]];
        ForEachRow(logits, (row, values) =>
        {
            // Here and below: spans of tensors cannot be captured, so each row asks for them.
            var found = MemoryMarshal.Cast<byte, double>(statistics.bytes).Slice(row * StatisticCount, StatisticCount);
            if (former is null) (found[0], found[1], found[2]) = (double.NegativeInfinity, 0, double.NaN);
            var maximum = MathF.Max((float)found[0], RowKernels.Maximum(values));
            if (TargetIn(flat, row, firstToken, values.Length) is { } target) found[2] = values[target];
            values.CopyTo(scratch);
            found[1] = (found[1] * Math.Exp(found[0] - maximum)) + RowKernels.ExponentialsInPlace(scratch, maximum);
            found[0] = maximum;
        });
        return statistics;
    }

    /// <summary>The loss summed over tokens, fp64 scalar, from the statistics of the whole vocabulary; no number where a target lies outside it.</summary>
    internal static Tensor Loss(Tensor statistics)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var columns = statistics.unbind(1);
        return columns[1].log().Plus(columns[0]).Plus(columns[2].neg()).sum().MoveToOuterDisposeScope();
    }

    /// <summary>logits ← softmax − one-hot, for the slice, from the statistics of the whole vocabulary.</summary>
    internal static void GradientInPlace(Tensor logits, Tensor targets, long firstToken, Tensor statistics)
    {
        using var guard = no_grad();
        using var flat = targets.view(-1);
        if (!ElementWise.Serves(logits))
        {
            OnDevice.GradientInPlace(logits, flat, firstToken, statistics);
            return;
        }

        ForEachRow(logits, (row, values) =>
        {
            var known = MemoryMarshal.Cast<byte, double>(statistics.bytes).Slice(row * StatisticCount, StatisticCount);
            RowKernels.ExponentialsInPlace(values, (float)known[0]);
            RowKernels.ScaleInPlace(values, (float)(1 / known[1]));
            if (TargetIn(flat, row, firstToken, values.Length) is { } target) values[target] -= 1;
        }, writes: true);
    }

    private static int? TargetIn(Tensor targets, int row, long firstToken, int count)
    {
        var place = MemoryMarshal.Cast<byte, long>(targets.bytes)[row] - firstToken;
        return place >= 0 && place < count ? (int)place : null;
    }

    private static void ForEachRow(Tensor logits, RowWork work, bool writes = false)
    {
        var rows = new FloatRows(logits);
        var rowsAtOnce = (int)Math.Max(1, PieceBytes / (4 * logits.shape[1]));
        for (var start = 0; start < logits.shape[0]; start += rowsAtOnce)
        {
            var count = Math.Min(rowsAtOnce, (int)logits.shape[0] - start);
            using var piece = logits.narrow(0, start, count);
            var bytes = piece.bytes;
            for (var index = 0; index < count; index++)
            {
                var row = rows.Row(bytes, index);
                var values = rows.Read(row);
                work(start + index, values);
                if (writes) rows.Write(values, row);
            }
        }
    }

    /// <summary>The same by tensor operations, where no loops of our own serve.</summary>
    private static class OnDevice
    {
        internal static Tensor With(Tensor logits, Tensor targets, long firstToken, Tensor? former)
        {
            using var scope = NewDisposeScope();
            var wide = logits.to_type(ScalarType.Float64);
            var (isHere, column) = Targets(targets, firstToken, logits.shape[1]);
            var found = wide.amax([1], keepdim: true);
            var before = former is null ? null : former.split(1, 1);
            var highest = before is null ? found : maximum(before[0], found);
            var sum = wide.Plus(highest.neg()).exp_().sum(1, keepdim: true);
            if (before is not null) sum = sum.Plus(before[1].mul(before[0].Plus(highest.neg()).exp_()));
            var wanted = where(isHere, wide.gather(1, column), before is null ? NumberArguments.Filled(sum.shape, double.NaN, ScalarType.Float64, sum.device) : before[2]);
            return cat([highest, sum, wanted], 1).MoveToOuterDisposeScope();
        }

        internal static void GradientInPlace(Tensor logits, Tensor targets, long firstToken, Tensor statistics)
        {
            using var scope = NewDisposeScope();
            var known = statistics.split(1, 1);
            var (isHere, column) = Targets(targets, firstToken, logits.shape[1]);
            logits.copy_(logits.to_type(ScalarType.Float64).Plus(known[0].neg()).exp_().div_(known[1]));
            logits.scatter_add_(1, column, isHere.to_type(logits.dtype).neg_());
        }

        // Where a target lies elsewhere its column is the slice's first, which then counts for nothing.
        private static (Tensor IsHere, Tensor Column) Targets(Tensor targets, long firstToken, long count)
        {
            var place = targets.unsqueeze(1).Plus(Whole(-firstToken));
            var isHere = place.ge(zeros_like(place)).logical_and_(place.lt(Whole(count)));
            return (isHere, place.mul(isHere.to_type(place.dtype)));

            Tensor Whole(long number) => NumberArguments.Filled([1], number, ScalarType.Int64, targets.device);
        }
    }
}
