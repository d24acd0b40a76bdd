using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Model.Numerics;

/// <summary>
/// Sum of squares in double, in one order of addition whatever the processor's vectors: sixteen running sums, folded pairwise.
/// </summary>
internal static class SumOfSquares
{
    private const int Lanes = 16;
    private const int PieceLength = 1 << 28;

    internal static double Of(Tensor gradient)
    {
        if (gradient.device_type != DeviceType.CPU || gradient.dtype != ScalarType.Float32) return OnDevice(gradient);
        using var flat = gradient.view(-1);
        double sum = 0;
        for (long start = 0; start < flat.numel(); start += PieceLength)
        {
            using var piece = flat.narrow(0, start, Math.Min(PieceLength, flat.numel() - start));
            sum += Of(MemoryMarshal.Cast<byte, float>(piece.bytes));
        }

        return sum;
    }

    internal static double Of(ReadOnlySpan<float> values)
    {
        Vector256<double> s0 = default, s1 = default, s2 = default, s3 = default;
        ref var first = ref MemoryMarshal.GetReference(values);
        var index = 0;
        for (; index <= values.Length - Lanes; index += Lanes)
        {
            var (a, b) = Vector256.Widen(Vector256.LoadUnsafe(ref first, (nuint)index));
            var (c, d) = Vector256.Widen(Vector256.LoadUnsafe(ref first, (nuint)index + 8));
            s0 += a * a;
            s1 += b * b;
            s2 += c * c;
            s3 += d * d;
        }

        double tail = 0;
        for (; index < values.Length; index++) tail += (double)values[index] * values[index];
        return Vector256.Sum((s0 + s1) + (s2 + s3)) + tail;
    }

    private static double OnDevice(Tensor gradient)
    {
        using var scope = NewDisposeScope();
        return gradient.to_type(ScalarType.Float64).square().sum().item<double>();
    }
}
