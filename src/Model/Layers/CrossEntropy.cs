using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// Cross-entropy summed over rows of logits [N, V]. On a CPU in fp32 and bf16 one pass of our own per row, while the row is in the cache:
/// maximum, exponentials, their sum, and in place the gradient softmax − one-hot, all of it in fp32. Elsewhere tensor operations.
/// </summary>
internal static class CrossEntropy
{
    private const long PieceBytes = 1L << 30;

    /// <summary>The loss as an fp64 scalar; with a gradient wanted the logits are overwritten by it.</summary>
    internal static Tensor Of(Tensor logits, Tensor targets, bool wantsGradient)
    {
        using var guard = no_grad();
        using var flat = targets.view(-1);
        if (!ElementWise.Serves(logits)) return OnDevice(logits, flat, wantsGradient);
        var rows = new FloatRows(logits);
        var rowsAtOnce = Math.Max(1, PieceBytes / (4 * logits.shape[1]));
        double loss = 0;
        for (long start = 0; start < logits.shape[0]; start += rowsAtOnce)
        {
            var count = Math.Min(rowsAtOnce, logits.shape[0] - start);
            using var piece = logits.narrow(0, start, count);
            using var wanted = flat.narrow(0, start, count);
            loss += OnCpu(rows, piece.bytes, MemoryMarshal.Cast<byte, long>(wanted.bytes), wantsGradient);
        }

        return tensor(loss, ScalarType.Float64);
    }

    private static double OnCpu(FloatRows rows, Span<byte> logits, ReadOnlySpan<long> targets, bool wantsGradient)
    {
        double loss = 0;
        for (var index = 0; index < targets.Length; index++)
        {
            var row = rows.Row(logits, index);
            var values = rows.Read(row);
            loss += Row(values, (int)targets[index], wantsGradient);
            if (wantsGradient) rows.Write(values, row);
        }

        return loss;
    }

    private static double Row(Span<float> logits, int target, bool wantsGradient)
    {
        if ((uint)target >= (uint)logits.Length) throw new ArgumentOutOfRangeException(nameof(target), target, "Target outside the vocabulary.");
        var wanted = logits[target];
        var maximum = RowKernels.Maximum(logits);
        var sum = RowKernels.ExponentialsInPlace(logits, maximum);
        var loss = Math.Log(sum) + maximum - wanted;
        if (!wantsGradient) return loss;
        RowKernels.ScaleInPlace(logits, (float)(1 / sum));
        logits[target] -= 1;
        return loss;
    }

    private static Tensor OnDevice(Tensor logits, Tensor targets, bool wantsGradient)
    {
        using var scope = NewDisposeScope();
        var wide = logits.dtype == ScalarType.Float64 ? logits : logits.to_type(ScalarType.Float32);
        var logProbabilities = nn.functional.log_softmax(wide, 1);
        var column = targets.unsqueeze(1);
        var loss = logProbabilities.gather(1, column).sum(type: ScalarType.Float64).neg();
        if (wantsGradient)
        {
            logits.copy_(logProbabilities.exp_());
            logits.scatter_add_(1, column, NumberArguments.Filled(column.shape, -1, logits.dtype, column.device));
        }

        return loss.MoveToOuterDisposeScope();
    }
}
