using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Pipeline.Reduction.Compression;

/// <summary>
/// Levels of one block of 128 elements and back. One division, one rounding, one product and one difference an element, each correctly
/// rounded: the bits do not depend on the width of the vectors.
/// </summary>
internal static class BlockKernels
{
    private const int Length = BlockScale.BlockLength;

    /// <summary>Levels to the nearest, ties to even, and what they lose.</summary>
    /// <param name="block">128 elements; the residual may be the same memory.</param>
    /// <param name="residual">128 elements.</param>
    /// <param name="levels">128 levels.</param>
    /// <param name="scale">Above 0.</param>
    /// <param name="highestLevel">127 or 7.</param>
    internal static void RoundNearest(ReadOnlySpan<float> block, Span<float> residual, Span<sbyte> levels, float scale, float highestLevel)
    {
        ref var source = ref MemoryMarshal.GetReference(block[..Length]);
        ref var lost = ref MemoryMarshal.GetReference(residual[..Length]);
        ref var target = ref MemoryMarshal.GetReference(levels[..Length]);
        var (size, highest) = (Vector256.Create(scale), Vector256.Create(highestLevel));
        for (nuint index = 0; index < Length; index += 32)
        {
            Narrow(
                Nearest(ref source, ref lost, index, size, highest),
                Nearest(ref source, ref lost, index + 8, size, highest),
                Nearest(ref source, ref lost, index + 16, size, highest),
                Nearest(ref source, ref lost, index + 24, size, highest)).StoreUnsafe(ref target, index);
        }
    }

    /// <summary>Levels rounded up where a random number of 24 bits lies below the place between the two, and what they lose.</summary>
    /// <param name="block">As in <see cref="RoundNearest"/>.</param>
    /// <param name="residual">As in <see cref="RoundNearest"/>.</param>
    /// <param name="levels">As in <see cref="RoundNearest"/>.</param>
    /// <param name="scale">As in <see cref="RoundNearest"/>.</param>
    /// <param name="highestLevel">As in <see cref="RoundNearest"/>.</param>
    /// <param name="words">128 random words.</param>
    internal static void RoundStochastic(
        ReadOnlySpan<float> block, Span<float> residual, Span<sbyte> levels, float scale, float highestLevel, ReadOnlySpan<uint> words)
    {
        ref var source = ref MemoryMarshal.GetReference(block[..Length]);
        ref var lost = ref MemoryMarshal.GetReference(residual[..Length]);
        ref var target = ref MemoryMarshal.GetReference(levels[..Length]);
        ref var random = ref MemoryMarshal.GetReference(words[..Length]);
        var (size, highest) = (Vector256.Create(scale), Vector256.Create(highestLevel));
        for (nuint index = 0; index < Length; index += 32)
        {
            Narrow(
                Stochastic(ref source, ref lost, ref random, index, size, highest),
                Stochastic(ref source, ref lost, ref random, index + 8, size, highest),
                Stochastic(ref source, ref lost, ref random, index + 16, size, highest),
                Stochastic(ref source, ref lost, ref random, index + 24, size, highest)).StoreUnsafe(ref target, index);
        }
    }

    /// <summary>element = level · scale.</summary>
    internal static void Restore(ReadOnlySpan<sbyte> levels, float scale, Span<float> block)
    {
        ref var source = ref MemoryMarshal.GetReference(levels[..Length]);
        ref var target = ref MemoryMarshal.GetReference(block[..Length]);
        var size = Vector256.Create(scale);
        for (nuint index = 0; index < Length; index += 32)
        {
            var (lower, upper) = Vector256.Widen(Vector256.LoadUnsafe(ref source, index));
            Restore(lower, size, ref target, index);
            Restore(upper, size, ref target, index + 16);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Restore(Vector256<short> levels, Vector256<float> scale, ref float target, nuint index)
    {
        var (lower, upper) = Vector256.Widen(levels);
        (Vector256.ConvertToSingle(lower) * scale).StoreUnsafe(ref target, index);
        (Vector256.ConvertToSingle(upper) * scale).StoreUnsafe(ref target, index + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Nearest(ref float source, ref float lost, nuint index, Vector256<float> scale, Vector256<float> highest)
    {
        var values = Vector256.LoadUnsafe(ref source, index);
        // A division, not a product with the inverse: being monotone it keeps every half level on its side, which makes residuals exact.
        return Keep(values, Vector256.Round(values / scale), ref lost, index, scale, highest);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Stochastic(
        ref float source, ref float lost, ref uint random, nuint index, Vector256<float> scale, Vector256<float> highest)
    {
        var values = Vector256.LoadUnsafe(ref source, index);
        var quotients = values / scale;
        var below = Vector256.Floor(quotients);
        var chances = Vector256.ConvertToSingle((Vector256.LoadUnsafe(ref random, index) >>> 8).AsInt32()) * Vector256.Create(1f / (1 << 24));
        var rounded = below + Vector256.ConditionalSelect(Vector256.LessThan(chances, quotients - below), Vector256<float>.One, Vector256<float>.Zero);
        return Keep(values, rounded, ref lost, index, scale, highest);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Keep(
        Vector256<float> values, Vector256<float> rounded, ref float lost, nuint index, Vector256<float> scale, Vector256<float> highest)
    {
        // The quotient of the largest element may exceed the highest level by its rounding. Neither operand is ever NaN, and none of those that are equal is a zero: the short forms do.
        var levels = Vector256.MaxNative(Vector256.MinNative(rounded, highest), -highest);
        (values - levels * scale).StoreUnsafe(ref lost, index);
        return Vector256.ConvertToInt32Native(levels);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<sbyte> Narrow(Vector256<int> first, Vector256<int> second, Vector256<int> third, Vector256<int> fourth) =>
        Vector256.Narrow(Vector256.Narrow(first, second), Vector256.Narrow(third, fourth));
}
