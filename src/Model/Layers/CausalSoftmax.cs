using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>Scale, causal mask and softmax of score rows in fp32 or bf16, in place, computed in fp32.</summary>
internal static class CausalSoftmax
{
    /// <summary>scores [N, R, K] ← softmax of the first <paramref name="start"/> + r + 1 columns of row r, zero beyond.</summary>
    internal static void Forward(Tensor scores, int start, float scale)
    {
        var rows = new FloatRows(scores);
        for (long head = 0; head < scores.shape[0]; head++)
        {
            using var slice = scores.narrow(0, head, 1);
            var bytes = slice.bytes;
            for (var row = 0; row < rows.Count; row++)
            {
                var line = rows.Row(bytes, row);
                var seen = rows.Part(line, start + row + 1);
                var values = rows.Read(seen);
                RowKernels.ScaleInPlace(values, scale);
                var sum = RowKernels.ExponentialsInPlace(values, RowKernels.Maximum(values));
                RowKernels.ScaleInPlace(values, (float)(1 / sum));
                rows.Write(values, seen);
                line[seen.Length..].Clear();
            }
        }
    }

    /// <summary>gradients [N, R, K] ← scale · p ∘ (g − Σ p ∘ g): the gradient of the scores before scaling.</summary>
    internal static void Backward(Tensor probabilities, Tensor gradients, int start, float scale)
    {
        var (known, rows) = (new FloatRows(probabilities), new FloatRows(gradients));
        for (long head = 0; head < gradients.shape[0]; head++)
        {
            using var knownSlice = probabilities.narrow(0, head, 1);
            using var slice = gradients.narrow(0, head, 1);
            var knownBytes = knownSlice.bytes;
            var bytes = slice.bytes;
            for (var row = 0; row < rows.Count; row++)
            {
                var line = rows.Row(bytes, row);
                var seen = rows.Part(line, start + row + 1);
                var values = rows.Read(seen);
                Gradient(known.Read(rows.Part(known.Row(knownBytes, row), start + row + 1)), values, scale);
                rows.Write(values, seen);
                line[seen.Length..].Clear();
            }
        }
    }

    private static void Gradient(ReadOnlySpan<float> probabilities, Span<float> gradients, float scale)
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
