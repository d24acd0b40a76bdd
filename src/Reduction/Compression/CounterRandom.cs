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
    private const uint First = 0xD2511F53;
    private const uint Second = 0xCD9E8D57;

    /// <summary>Words number 128 · block to 128 · block + 127 of a key.</summary>
    internal static void Fill(Span<uint> words, RoundingKey key, uint block)
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
            for (var round = 0; round < 10; round++)
            {
                var (first, second) = (Product(a, First), Product(c, Second));
                (a, b, c, d) = ((second >>> 32) ^ b ^ Vector256.Create(k0).AsUInt64(), second, (first >>> 32) ^ d ^ Vector256.Create(k1).AsUInt64(), first);
                k0 += 0x9E3779B9;
                k1 += 0xBB67AE85;
            }

            Store(a, ref target, counter);
            Store(b, ref target, counter + CounterCount);
            Store(c, ref target, counter + 2 * CounterCount);
            Store(d, ref target, counter + 3 * CounterCount);
        }
    }

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
}
