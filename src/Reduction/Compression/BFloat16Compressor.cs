using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Compression;

/// <summary>
/// The upper 16 bits of fp32, rounded. Finite values beyond the largest bfloat16 become that one, so that no overflow is made here;
/// infinities stay and NaN stays NaN.
/// </summary>
/// <param name="rounding">How the lower bits are rounded away.</param>
public sealed class BFloat16Compressor(Rounding rounding) : ICompressor
{
    private const uint LargestFinite = 0x7F7F;
    private const uint Infinite = 0x7F80;

    /// <inheritdoc/>
    public CompressionKind Kind => CompressionKind.BFloat16;

    /// <inheritdoc/>
    public int MaxByteCount(int length) => checked(length * sizeof(ushort));

    /// <inheritdoc/>
    public int Compress(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key) => Compress(input, residual, payload, key, owes: false);

    /// <inheritdoc/>
    public int CompressWithFeedback(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key) =>
        Compress(input, residual[..input.Length], payload, key, owes: true);

    /// <inheritdoc/>
    public void Decompress(ReadOnlySpan<byte> payload, Span<float> output)
    {
        PayloadLength.Require(Kind, payload.Length, MaxByteCount(output.Length));
        var source = MemoryMarshal.Cast<byte, ushort>(payload);
        ref var from = ref MemoryMarshal.GetReference(source);
        ref var to = ref Unsafe.As<float, uint>(ref MemoryMarshal.GetReference(output));
        var index = 0;
        for (; index <= output.Length - 16; index += 16)
        {
            var (lower, upper) = Vector256.Widen(Vector256.LoadUnsafe(ref from, (nuint)index));
            (lower << 16).StoreUnsafe(ref to, (nuint)index);
            (upper << 16).StoreUnsafe(ref to, (nuint)index + 8);
        }

        for (; index < output.Length; index++) output[index] = BitConverter.UInt32BitsToSingle((uint)source[index] << 16);
    }

    private int Compress(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key, bool owes)
    {
        var target = MemoryMarshal.Cast<byte, ushort>(payload[..MaxByteCount(input.Length)]);
        Span<uint> words = stackalloc uint[CounterRandom.BlockLength];
        for (var start = 0; start < input.Length; start += words.Length)
        {
            var count = Math.Min(words.Length, input.Length - start);
            if (rounding == Rounding.Stochastic) CounterRandom.Fill(words, key, (uint)(start / words.Length));
            ReadOnlySpan<float> values = input.Slice(start, count);
            var lost = residual.IsEmpty ? default : residual.Slice(start, count);
            if (owes)
            {
                SpanSum.Add(values, lost, lost);
                values = lost;
            }

            Block(values, lost, target.Slice(start, count), words);
        }

        return target.Length * sizeof(ushort);
    }

    private void Block(ReadOnlySpan<float> input, Span<float> residual, Span<ushort> target, ReadOnlySpan<uint> words)
    {
        ref var from = ref MemoryMarshal.GetReference(input);
        ref var to = ref MemoryMarshal.GetReference(target);
        ref var random = ref MemoryMarshal.GetReference(words);
        ref var lost = ref MemoryMarshal.GetReference(residual);
        var index = 0;
        for (; index <= input.Length - 16; index += 16)
        {
            var lower = Vector256.LoadUnsafe(ref from, (nuint)index);
            var upper = Vector256.LoadUnsafe(ref from, (nuint)index + 8);
            var lowerBits = Round(lower.AsUInt32(), Vector256.LoadUnsafe(ref random, (nuint)index));
            var upperBits = Round(upper.AsUInt32(), Vector256.LoadUnsafe(ref random, (nuint)index + 8));
            Vector256.Narrow(lowerBits, upperBits).StoreUnsafe(ref to, (nuint)index);
            if (residual.IsEmpty) continue;
            (lower - (lowerBits << 16).AsSingle()).StoreUnsafe(ref lost, (nuint)index);
            (upper - (upperBits << 16).AsSingle()).StoreUnsafe(ref lost, (nuint)index + 8);
        }

        for (; index < input.Length; index++)
        {
            var value = input[index];
            var bits = Round(Vector256.CreateScalar(BitConverter.SingleToUInt32Bits(value)), Vector256.CreateScalar(words[index])).ToScalar();
            target[index] = (ushort)bits;
            if (!residual.IsEmpty) residual[index] = value - BitConverter.UInt32BitsToSingle(bits << 16);
        }
    }

    /// <summary>The 16 bits of each lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Vector256<uint> Round(Vector256<uint> bits, Vector256<uint> random)
    {
        var sign = bits & Vector256.Create(0x80000000);
        var magnitude = bits ^ sign;
        var addend = rounding == Rounding.Nearest
            ? Vector256.Create(0x7FFFU) + ((magnitude >>> 16) & Vector256<uint>.One)
            : random & Vector256.Create(0xFFFFU);
        var rounded = Vector256.Min((magnitude + addend) >>> 16, Vector256.Create(LargestFinite));
        // Of a NaN the upper bits may all be zero: the quiet bit keeps it one.
        var special = (magnitude >>> 16) | Vector256.ConditionalSelect(
            Vector256.GreaterThan(magnitude, Vector256.Create(Infinite << 16)), Vector256.Create(0x40U), Vector256<uint>.Zero);
        var isSpecial = Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(Infinite << 16));
        return Vector256.ConditionalSelect(isSpecial, special, rounded) | (sign >>> 16);
    }
}
