using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Pipeline.Reduction.Compression;

/// <summary>
/// Names the random numbers of one compression: the same key gives the same bits on any machine and in any replay.
/// </summary>
/// <param name="Stream">Seed of run, participant, bucket and direction, mixed to 64 bits.</param>
/// <param name="Step">Step of the run.</param>
public readonly record struct RoundingKey(ulong Stream, long Step);

/// <summary>
/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) in vector lanes, for rounding: 128 words at a
/// time, the words A of 32 counters, then their words B, C and D, since a vector computes neighbouring counters side by side.
/// </summary>
internal static class CounterRandom
{
    /// <summary>Words of one call.</summary>
    internal const int BlockLength = 128;

    private const int CounterCount = 32;
    private const int RoundCount = 10;
    private const uint First = 0xD2511F53;
    private const uint Second = 0xCD9E8D57;
    private const uint FirstKeyStep = 0x9E3779B9;
    private const uint SecondKeyStep = 0xBB67AE85;

    /// <summary>Words number 128 · block to 128 · block + 127 of a key.</summary>
    internal static void Fill(Span<uint> words, RoundingKey key, uint block)
    {
        if (WideBlockKernels.IsSupported) FillWide(words, key, block);
        else FillNarrow(words, key, block);
    }

    /// <summary><see cref="Fill"/>, four counters a vector.</summary>
    internal static void FillNarrow(Span<uint> words, RoundingKey key, uint block)
    {
        ref var target = ref MemoryMarshal.GetReference(words[..BlockLength]);
        var lanes = Vector256.Create(0UL, 1, 2, 3);
        for (var counter = 0; counter < CounterCount; counter += 4)
        {
            // A word of four counters a vector; only the low half of each lane counts.
            var a = Vector256.Create((ulong)block * CounterCount + (ulong)counter) + lanes;
            var b = a >>> 32;
            var c = Vector256.Create((ulong)key.Step);
            var d = c >>> 32;
            uint k0 = (uint)key.Stream, k1 = (uint)(key.Stream >> 32);
            for (var round = 0; round < RoundCount; round++)
            {
                var (first, second) = (Product(a, First), Product(c, Second));
                (a, b, c, d) = ((second >>> 32) ^ b ^ Vector256.Create(k0).AsUInt64(), second, (first >>> 32) ^ d ^ Vector256.Create(k1).AsUInt64(), first);
                k0 += FirstKeyStep;
                k1 += SecondKeyStep;
            }

            Store(a, ref target, counter);
            Store(b, ref target, counter + CounterCount);
            Store(c, ref target, counter + 2 * CounterCount);
            Store(d, ref target, counter + 3 * CounterCount);
        }
    }

    /// <summary><see cref="Fill"/>, eight counters a vector and two vectors at a time: one alone would wait for its own products.</summary>
    internal static void FillWide(Span<uint> words, RoundingKey key, uint block)
    {
        ref var target = ref MemoryMarshal.GetReference(words[..BlockLength]);
        for (var counter = 0; counter < CounterCount; counter += 16)
        {
            var (a, e) = (Counters(block, counter), Counters(block, counter + 8));
            var (b, f) = (a >>> 32, e >>> 32);
            var c = Vector512.Create((ulong)key.Step);
            var d = c >>> 32;
            var (g, h) = (c, d);
            uint k0 = (uint)key.Stream, k1 = (uint)(key.Stream >> 32);
            for (var round = 0; round < RoundCount; round++)
            {
                var (first, second) = (Product(a, First), Product(c, Second));
                var (third, fourth) = (Product(e, First), Product(g, Second));
                var (even, odd) = (Vector512.Create(k0).AsUInt64(), Vector512.Create(k1).AsUInt64());
                a = (second >>> 32) ^ b ^ even;
                c = (first >>> 32) ^ d ^ odd;
                e = (fourth >>> 32) ^ f ^ even;
                g = (third >>> 32) ^ h ^ odd;
                (b, d, f, h) = (second, first, fourth, third);
                k0 += FirstKeyStep;
                k1 += SecondKeyStep;
            }

            Vector512.Narrow(a, e).StoreUnsafe(ref target, (nuint)counter);
            Vector512.Narrow(b, f).StoreUnsafe(ref target, (nuint)(counter + CounterCount));
            Vector512.Narrow(c, g).StoreUnsafe(ref target, (nuint)(counter + 2 * CounterCount));
            Vector512.Narrow(d, h).StoreUnsafe(ref target, (nuint)(counter + 3 * CounterCount));
        }
    }

    private static Vector512<ulong> Counters(uint block, int first) =>
        Vector512.Create((ulong)block * CounterCount + (ulong)first) + Vector512.Create(0UL, 1, 2, 3, 4, 5, 6, 7);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<ulong> lanes, ref uint target, int place) =>
        Vector128.Narrow(lanes.GetLower(), lanes.GetUpper()).StoreUnsafe(ref target, (nuint)place);

    /// <summary>
    /// Products of 32-bit numbers. Factor and keys are broadcast as 32-bit numbers on purpose: with 64-bit constants the AVX-512 code of
    /// .NET 10.0 multiplies by something else.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Product(Vector256<ulong> value, uint factor) => Avx2.IsSupported
        ? Avx2.Multiply(value.AsUInt32(), Vector256.Create(factor))
        : (value & Vector256.Create(0xFFFFFFFFUL)) * Vector256.Create((ulong)factor);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Product(Vector512<ulong> value, uint factor) => Avx512F.Multiply(value.AsUInt32(), Vector512.Create(factor));
}
