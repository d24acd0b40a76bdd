using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Pipeline.Model.Layers;

/// <summary>Vector loops over one row of floats that is in the cache; eight lanes on every processor, so that the bits agree.</summary>
internal static class RowKernels
{
    private const int Lanes = 8;

    internal static float Maximum(ReadOnlySpan<float> row)
    {
        ref var first = ref MemoryMarshal.GetReference(row);
        var running = Vector256.Create(float.NegativeInfinity);
        var index = 0;
        for (; index <= row.Length - Lanes; index += Lanes) running = Vector256.Max(running, Vector256.LoadUnsafe(ref first, (nuint)index));
        var maximum = float.NegativeInfinity;
        for (var lane = 0; lane < Lanes; lane++) maximum = MathF.Max(maximum, running[lane]);
        for (; index < row.Length; index++) maximum = MathF.Max(maximum, row[index]);
        return maximum;
    }

    /// <summary>x ← exp(x − maximum); returns the sum, formed in double over eight lanes.</summary>
    internal static double ExponentialsInPlace(Span<float> row, float maximum)
    {
        ref var first = ref MemoryMarshal.GetReference(row);
        var shift = Vector256.Create(maximum);
        Vector256<double> low = default, high = default;
        var index = 0;
        for (; index <= row.Length - Lanes; index += Lanes)
        {
            var values = Exponential.Of(Vector256.LoadUnsafe(ref first, (nuint)index) - shift);
            values.StoreUnsafe(ref first, (nuint)index);
            var (a, b) = Vector256.Widen(values);
            low += a;
            high += b;
        }

        var sum = Vector256.Sum(low + high);
        for (; index < row.Length; index++)
        {
            // The same polynomial as in the vector loop, so that the tail rounds alike.
            row[index] = Exponential.Of(Vector256.Create(row[index] - maximum)).ToScalar();
            sum += row[index];
        }

        return sum;
    }

    internal static void ScaleInPlace(Span<float> row, float factor)
    {
        ref var first = ref MemoryMarshal.GetReference(row);
        var factors = Vector256.Create(factor);
        var index = 0;
        for (; index <= row.Length - Lanes; index += Lanes) (Vector256.LoadUnsafe(ref first, (nuint)index) * factors).StoreUnsafe(ref first, (nuint)index);
        for (; index < row.Length; index++) row[index] *= factor;
    }
}
