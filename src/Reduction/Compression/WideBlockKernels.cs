using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Pipeline.Reduction.Compression;

/// <summary>What <see cref="BlockKernels"/> does, operation by operation, in vectors of sixteen elements: the same bits sooner, where the processor has them.</summary>
internal static class WideBlockKernels
{
    private const int Length = BlockScale.BlockLength;
    private const int Lanes = 16;

    /// <summary>Whether this processor has such vectors, at full speed.</summary>
    internal static bool IsSupported
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.IsHardwareAccelerated && Avx512F.IsSupported;
    }

    /// <inheritdoc cref="BlockKernels.RoundNearest"/>
    internal static void RoundNearest(ReadOnlySpan<float> block, Span<float> residual, Span<sbyte> levels, float scale, float highestLevel)
    {
        ref var source = ref MemoryMarshal.GetReference(block[..Length]);
        ref var lost = ref MemoryMarshal.GetReference(residual[..Length]);
        ref var target = ref MemoryMarshal.GetReference(levels[..Length]);
        var (size, highest) = (Vector512.Create(scale), Vector512.Create(highestLevel));
        for (nuint index = 0; index < Length; index += Lanes)
        {
            var values = Vector512.LoadUnsafe(ref source, index);
            Keep(values, Vector512.Round(values / size), ref lost, ref target, index, size, highest);
        }
    }

    /// <inheritdoc cref="BlockKernels.RoundStochastic"/>
    internal static void RoundStochastic(
        ReadOnlySpan<float> block, Span<float> residual, Span<sbyte> levels, float scale, float highestLevel, ReadOnlySpan<uint> words)
    {
        ref var source = ref MemoryMarshal.GetReference(block[..Length]);
        ref var lost = ref MemoryMarshal.GetReference(residual[..Length]);
        ref var target = ref MemoryMarshal.GetReference(levels[..Length]);
        ref var random = ref MemoryMarshal.GetReference(words[..Length]);
        var (size, highest) = (Vector512.Create(scale), Vector512.Create(highestLevel));
        for (nuint index = 0; index < Length; index += Lanes)
        {
            var values = Vector512.LoadUnsafe(ref source, index);
            var quotients = values / size;
            var below = Vector512.Floor(quotients);
            var chances = Vector512.ConvertToSingle((Vector512.LoadUnsafe(ref random, index) >>> 8).AsInt32()) * Vector512.Create(1f / (1 << 24));
            var rounded = below + Vector512.ConditionalSelect(Vector512.LessThan(chances, quotients - below), Vector512<float>.One, Vector512<float>.Zero);
            Keep(values, rounded, ref lost, ref target, index, size, highest);
        }
    }

    /// <inheritdoc cref="BlockKernels.Restore(ReadOnlySpan{sbyte}, float, Span{float})"/>
    internal static void Restore(ReadOnlySpan<sbyte> levels, float scale, Span<float> block)
    {
        ref var source = ref MemoryMarshal.GetReference(levels[..Length]);
        ref var target = ref MemoryMarshal.GetReference(block[..Length]);
        var size = Vector512.Create(scale);
        for (nuint index = 0; index < Length; index += Lanes)
            (Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(Vector128.LoadUnsafe(ref source, index))) * size).StoreUnsafe(ref target, index);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Keep(
        Vector512<float> values, Vector512<float> rounded, ref float lost, ref sbyte target, nuint index, Vector512<float> scale, Vector512<float> highest)
    {
        var levels = Vector512.MaxNative(Vector512.MinNative(rounded, highest), -highest);
        (values - levels * scale).StoreUnsafe(ref lost, index);
        Avx512F.ConvertToVector128SByte(Vector512.ConvertToInt32Native(levels)).StoreUnsafe(ref target, index);
    }
}
