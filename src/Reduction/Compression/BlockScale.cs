using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Pipeline.Reduction.Compression;

/// <summary>
/// The scale that 128 neighbouring elements share, kept as bfloat16. It has 8 significant bits and a level at most 7, so level times
/// scale is exact in fp32, and so is the residual of nearest rounding.
/// </summary>
internal static class BlockScale
{
    /// <summary>Elements of a block.</summary>
    internal const int BlockLength = 128;

    private const ushort NotANumber = 0x7FC0;

    /// <summary>The least bfloat16 at which no element of the block exceeds the highest level by more than rounding; NaN where one is not finite.</summary>
    /// <param name="block">128 elements.</param>
    /// <param name="highestLevel">127 or 7.</param>
    internal static ushort Of(ReadOnlySpan<float> block, float highestLevel)
    {
        var largest = LargestMagnitude(block);
        if (!float.IsFinite(largest)) return NotANumber;
        var bits = (ushort)((BitConverter.SingleToUInt32Bits(largest / highestLevel) + 0xFFFF) >> 16);
        // At the end of fp32's range the highest level would overflow; there the largest element is cut instead.
        return float.IsFinite(Value(bits) * highestLevel) ? bits : (ushort)(bits - 1);
    }

    /// <summary>The scale as fp32.</summary>
    internal static float Value(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    private static float LargestMagnitude(ReadOnlySpan<float> block)
    {
        // Magnitudes compare as integers, where NaN is the largest of all.
        ref var bits = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<float, int>(block[..BlockLength]));
        var eight = WideBlockKernels.IsSupported ? WideLargest(ref bits) : NarrowLargest(ref bits);
        var four = Vector128.Max(eight.GetLower(), eight.GetUpper());
        return BitConverter.Int32BitsToSingle(Math.Max(Math.Max(four[0], four[1]), Math.Max(four[2], four[3])));
    }

    private static Vector256<int> NarrowLargest(ref int bits)
    {
        var mask = Vector256.Create(int.MaxValue);
        Vector256<int> first = default, second = default;
        for (nuint index = 0; index < BlockLength; index += 16)
        {
            first = Vector256.Max(first, Vector256.LoadUnsafe(ref bits, index) & mask);
            second = Vector256.Max(second, Vector256.LoadUnsafe(ref bits, index + 8) & mask);
        }

        return Vector256.Max(first, second);
    }

    private static Vector256<int> WideLargest(ref int bits)
    {
        var mask = Vector512.Create(int.MaxValue);
        Vector512<int> first = default, second = default;
        for (nuint index = 0; index < BlockLength; index += 32)
        {
            first = Vector512.Max(first, Vector512.LoadUnsafe(ref bits, index) & mask);
            second = Vector512.Max(second, Vector512.LoadUnsafe(ref bits, index + 16) & mask);
        }

        var largest = Vector512.Max(first, second);
        return Vector256.Max(largest.GetLower(), largest.GetUpper());
    }
}
