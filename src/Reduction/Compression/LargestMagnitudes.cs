using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Pipeline.Reduction.Compression;

/// <summary>Gathers the magnitudes above a floor, where they are a small part of all.</summary>
internal static class LargestMagnitudes
{
    /// <summary>Places that are wanted beyond those of what is found: whole vectors are written.</summary>
    internal const int Slack = 16;

    private const int Lanes = 16;

    /// <summary>Writes the magnitudes at or above a floor, in the order of their elements.</summary>
    /// <param name="bits">Elements.</param>
    /// <param name="floor">Bits of a magnitude, at most those of NaN.</param>
    /// <param name="found">Where they are written.</param>
    /// <returns>How many there are; −1 where they do not fit with <see cref="Slack"/> to spare.</returns>
    internal static int Gather(ReadOnlySpan<uint> bits, uint floor, Span<uint> found)
    {
        var (count, index, last) = (0, 0, found.Length - Slack);
        for (; index <= bits.Length - Lanes; index += Lanes)
        {
            if (count > last) return -1;
            count += WideBlockKernels.IsSupported ? WideGather(bits.Slice(index, Lanes), floor, found.Slice(count, Lanes)) : NarrowGather(bits.Slice(index, Lanes), floor, found.Slice(count, Lanes));
        }

        for (; index < bits.Length; index++)
        {
            if (count > last) return -1;
            found[count] = bits[index] & MagnitudeThreshold.Mask;
            count += found[count] >= floor ? 1 : 0;
        }

        return count;
    }

    /// <summary>One vector of them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int WideGather(ReadOnlySpan<uint> bits, uint floor, Span<uint> found)
    {
        var magnitudes = Vector512.LoadUnsafe(ref MemoryMarshal.GetReference(bits)) & Vector512.Create(MagnitudeThreshold.Mask);
        var isLarge = Vector512.GreaterThanOrEqual(magnitudes, Vector512.Create(floor));
        Avx512F.Compress(Vector512<uint>.Zero, isLarge, magnitudes).StoreUnsafe(ref MemoryMarshal.GetReference(found));
        return BitOperations.PopCount(isLarge.ExtractMostSignificantBits());
    }

    /// <summary>As many, in two vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int NarrowGather(ReadOnlySpan<uint> bits, uint floor, Span<uint> found)
    {
        var (mask, limit) = (Vector256.Create(MagnitudeThreshold.Mask), Vector256.Create(floor));
        ref var first = ref MemoryMarshal.GetReference(bits);
        var near = Vector256.GreaterThanOrEqual(Vector256.LoadUnsafe(ref first) & mask, limit).ExtractMostSignificantBits();
        var far = Vector256.GreaterThanOrEqual(Vector256.LoadUnsafe(ref first, 8) & mask, limit).ExtractMostSignificantBits();
        var count = 0;
        for (var hits = near | (far << 8); hits != 0; hits &= hits - 1) found[count++] = bits[BitOperations.TrailingZeroCount(hits)] & MagnitudeThreshold.Mask;
        return count;
    }
}
