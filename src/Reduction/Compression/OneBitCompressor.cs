using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Compression;

/// <summary>
/// The sign of each element, and for each 512 of them the mean of their magnitudes as bfloat16: 31 times fewer bytes than fp32 (the scaled signs
/// of Seide et al. 2014 and of 1-bit Adam, Tang et al. 2021). Of use only with error feedback. The last block may be shorter.
/// </summary>
public sealed class OneBitCompressor : ICompressor
{
    private const int BlockLength = 512;
    private const int Lanes = 8;
    private const uint SignBit = 0x80000000;
    private const ushort Infinite = 0x7F80;

    /// <inheritdoc/>
    public CompressionKind Kind => CompressionKind.OneBit;

    /// <inheritdoc/>
    public int MaxByteCount(int length) => checked((int)(((long)length + BlockLength - 1) / BlockLength * sizeof(ushort) + ((long)length + Lanes - 1) / Lanes));

    /// <inheritdoc/>
    public int Compress(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key) => Compress(input, residual, payload, owes: false);

    /// <inheritdoc/>
    public int CompressWithFeedback(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key) =>
        Compress(input, residual[..input.Length], payload, owes: true);

    /// <inheritdoc/>
    public void Decompress(ReadOnlySpan<byte> payload, Span<float> output)
    {
        PayloadLength.Require(Kind, payload.Length, MaxByteCount(output.Length));
        for (var start = 0; start < output.Length; start += BlockLength)
        {
            var block = output.Slice(start, Math.Min(BlockLength, output.Length - start));
            var signs = payload.Slice(sizeof(ushort), (block.Length + Lanes - 1) / Lanes);
            Unpack(signs, BinaryPrimitives.ReadUInt16LittleEndian(payload), block);
            payload = payload[(sizeof(ushort) + signs.Length)..];
        }
    }

    private int Compress(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, bool owes)
    {
        var byteCount = MaxByteCount(input.Length);
        for (var start = 0; start < input.Length; start += BlockLength)
        {
            var block = input.Slice(start, Math.Min(BlockLength, input.Length - start));
            var lost = residual.IsEmpty ? default : residual.Slice(start, block.Length);
            if (owes)
            {
                SpanSum.Add(block, lost, lost);
                block = lost;
            }

            var scale = ScaleOf(block);
            BinaryPrimitives.WriteUInt16LittleEndian(payload, scale);
            var signs = payload.Slice(sizeof(ushort), (block.Length + Lanes - 1) / Lanes);
            Pack(block, signs);
            if (!lost.IsEmpty) Subtract(block, BlockScale.Value(scale), lost);
            payload = payload[(sizeof(ushort) + signs.Length)..];
        }

        return byteCount;
    }

    /// <summary>The mean magnitude, rounded to bfloat16; not finite where an element is not.</summary>
    private static ushort ScaleOf(ReadOnlySpan<float> block)
    {
        ref var first = ref MemoryMarshal.GetReference(block);
        Vector256<float> even = default, odd = default;
        var index = 0;
        for (; index <= block.Length - 2 * Lanes; index += 2 * Lanes)
        {
            even += Vector256.Abs(Vector256.LoadUnsafe(ref first, (nuint)index));
            odd += Vector256.Abs(Vector256.LoadUnsafe(ref first, (nuint)(index + Lanes)));
        }

        var sums = even + odd;
        var four = sums.GetLower() + sums.GetUpper();
        var sum = (four[0] + four[2]) + (four[1] + four[3]);
        for (; index < block.Length; index++) sum += MathF.Abs(block[index]);
        var mean = float.IsFinite(sum) ? sum / block.Length : MeanInDouble(block);
        if (!float.IsFinite(mean)) return (ushort)(BitConverter.SingleToUInt32Bits(float.NaN) >> 16);
        var bits = BitConverter.SingleToUInt32Bits(mean);
        var rounded = (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
        return rounded == Infinite ? (ushort)(Infinite - 1) : rounded;
    }

    /// <summary>Finite elements may have a sum that is not.</summary>
    private static float MeanInDouble(ReadOnlySpan<float> block)
    {
        double sum = 0;
        foreach (var value in block) sum += Math.Abs((double)value);
        return (float)(sum / block.Length);
    }

    private static void Pack(ReadOnlySpan<float> block, Span<byte> signs)
    {
        ref var first = ref MemoryMarshal.GetReference(block);
        var index = 0;
        for (; index <= block.Length - Lanes; index += Lanes) signs[index / Lanes] = (byte)Vector256.LoadUnsafe(ref first, (nuint)index).ExtractMostSignificantBits();
        if (index == block.Length) return;
        var last = 0;
        for (var lane = 0; index + lane < block.Length; lane++) last |= (float.IsNegative(block[index + lane]) ? 1 : 0) << lane;
        signs[^1] = (byte)last;
    }

    private static void Subtract(ReadOnlySpan<float> block, float scale, Span<float> residual)
    {
        ref var first = ref MemoryMarshal.GetReference(block);
        ref var target = ref MemoryMarshal.GetReference(residual);
        var (magnitude, sign) = (Vector256.Create(scale), Vector256.Create(SignBit).AsSingle());
        var index = 0;
        for (; index <= block.Length - Lanes; index += Lanes)
        {
            var values = Vector256.LoadUnsafe(ref first, (nuint)index);
            (values - (magnitude | (values & sign))).StoreUnsafe(ref target, (nuint)index);
        }

        for (; index < block.Length; index++) residual[index] = block[index] - (float.IsNegative(block[index]) ? -scale : scale);
    }

    private static void Unpack(ReadOnlySpan<byte> signs, ushort scale, Span<float> block)
    {
        ref var target = ref MemoryMarshal.GetReference(block);
        var magnitude = Vector256.Create((uint)scale << 16);
        var lanes = Vector256.Create(1u, 2, 4, 8, 16, 32, 64, 128);
        var index = 0;
        for (; index <= block.Length - Lanes; index += Lanes)
        {
            var isNegative = Vector256.Equals(Vector256.Create((uint)signs[index / Lanes]) & lanes, lanes);
            (magnitude | (isNegative & Vector256.Create(SignBit))).AsSingle().StoreUnsafe(ref target, (nuint)index);
        }

        for (; index < block.Length; index++)
        {
            var isNegative = (signs[index / Lanes] & (1 << (index % Lanes))) != 0;
            block[index] = BitConverter.UInt32BitsToSingle(((uint)scale << 16) | (isNegative ? SignBit : 0));
        }
    }
}
