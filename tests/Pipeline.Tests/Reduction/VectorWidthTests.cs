using System.Buffers.Binary;
using CsCheck;
using Pipeline.Model.Numerics;
using Pipeline.Reduction.Compression;
using Xunit;

namespace Pipeline.Tests.Reduction;

/// <summary>Whatever vectors a processor has, and whether losses are added block by block or before: the bits are those of one element after the other.</summary>
public sealed class VectorWidthTests
{
    private const int BlockLength = 128;

    private static readonly RoundingKey s_key = new(0x0123_4567_89AB_CDEF, (5L << 32) + 9);

    /// <summary>The widest only where the processor has them.</summary>
    private static readonly bool[] s_widths = WideBlockKernels.IsSupported ? [false, true] : [false];

    [Fact]
    public void Random_words_are_those_of_the_scalar_generator_in_every_width()
    {
        Gen.Select(Gen.ULong, Gen.Long[0, long.MaxValue], Gen.UInt).Sample((stream, step, block) =>
        {
            foreach (var isWide in s_widths)
            {
                var words = new uint[CounterRandom.BlockLength];
                if (isWide) CounterRandom.FillWide(words, new RoundingKey(stream, step), block);
                else CounterRandom.FillNarrow(words, new RoundingKey(stream, step), block);
                Assert.Equal(Words(new RoundingKey(stream, step), block), words);
            }
        }, iter: 300);
    }

    [Theory]
    [InlineData(CompressionKind.Int8, Rounding.Nearest)]
    [InlineData(CompressionKind.Int8, Rounding.Stochastic)]
    [InlineData(CompressionKind.Int4, Rounding.Nearest)]
    [InlineData(CompressionKind.Int4, Rounding.Stochastic)]
    public void Quantised_bytes_and_what_they_lose_are_those_of_the_scalar_definition_in_every_width(CompressionKind kind, Rounding rounding)
    {
        Spans.Any.Sample(input =>
        {
            var (expected, lost) = Quantised(input, kind, rounding);
            foreach (var isWide in s_widths)
            {
                var compressor = new BlockCompressor(kind, rounding) { IsWide = isWide };
                var payload = new byte[compressor.MaxByteCount(input.Length)];
                var residual = new float[input.Length];
                Assert.Equal(payload.Length, compressor.Compress(input, residual, payload, s_key));
                Assert.Equal(expected, payload);
                Assert.True(Spans.SameBits(lost, residual));
            }
        }, iter: 500);
    }

    [Theory]
    [InlineData(CompressionKind.Int8)]
    [InlineData(CompressionKind.Int4)]
    public void Any_bytes_are_restored_to_the_same_bits_in_every_width(CompressionKind kind)
    {
        const int Length = 3 * BlockLength + 5;
        var size = new BlockCompressor(kind, Rounding.Nearest).MaxByteCount(Length);
        Gen.Byte.Array[size].Sample(payload =>
        {
            var outputs = s_widths.Select(isWide =>
            {
                var output = new float[Length];
                new BlockCompressor(kind, Rounding.Nearest) { IsWide = isWide }.Decompress(payload, output);
                return output;
            }).ToArray();
            for (var index = 0; index < Length; index++)
            {
                var block = payload.AsSpan(index / BlockLength * (size / 4), size / 4);
                var scale = BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(block) << 16);
                var place = index % BlockLength;
                var bytes = block[sizeof(ushort)..];
                var level = kind == CompressionKind.Int8 ? (sbyte)bytes[place] : ((place < 64 ? bytes[place] : bytes[place - 64] >> 4) & 0xF) << 28 >> 28;
                // A scale that is no number gives none; which one is the processor's.
                foreach (var output in outputs) Assert.True(float.IsNaN(scale) ? float.IsNaN(output[index]) : Bits(level * scale) == Bits(output[index]) || float.IsNaN(level * scale) && float.IsNaN(output[index]));
            }
        }, iter: 300);
    }

    [Theory]
    [InlineData("none")]
    [InlineData("bf16 nearest")]
    [InlineData("bf16 stochastic")]
    [InlineData("int8 nearest")]
    [InlineData("int8 stochastic")]
    [InlineData("int4 nearest")]
    [InlineData("int4 stochastic")]
    [InlineData("one-bit")]
    [InlineData("top-k 0.3")]
    public void Losses_that_are_added_block_by_block_give_the_bits_of_those_added_before(string name)
    {
        Gen.Int[0, 1400].SelectMany(length => Gen.Select(Spans.Moderate(length), Spans.Moderate(length))).Sample((input, owed) =>
        {
            var compressor = Compressors.Of(name);
            var (apart, together) = (new byte[compressor.MaxByteCount(input.Length)], new byte[compressor.MaxByteCount(input.Length)]);
            float[] sum = [.. input.Zip(owed, (value, late) => value + late)];
            var length = compressor.Compress(sum, sum, apart, s_key);
            Assert.Equal(length, compressor.CompressWithFeedback(input, owed, together, s_key));
            Assert.True(apart.AsSpan(0, length).SequenceEqual(together.AsSpan(0, length)));
            Assert.True(Spans.SameBits(sum, owed));
        }, iter: 200);
    }

    private static uint Bits(float value) => BitConverter.SingleToUInt32Bits(value);

    private static uint[] Words(RoundingKey key, uint block)
    {
        var words = new uint[CounterRandom.BlockLength];
        for (var lane = 0; lane < 32; lane++)
        {
            var counter = (ulong)block * 32 + (ulong)lane;
            (words[lane], words[lane + 32], words[lane + 64], words[lane + 96]) = Philox.Draw(key.Stream, (uint)counter, (uint)(counter >> 32), (ulong)key.Step);
        }

        return words;
    }

    /// <summary>One element after the other, as the format is defined.</summary>
    private static (byte[] Payload, float[] Residual) Quantised(float[] input, CompressionKind kind, Rounding rounding)
    {
        List<byte> payload = [];
        var residual = new float[input.Length];
        for (var start = 0; start < input.Length; start += BlockLength)
        {
            var block = new float[BlockLength];
            input.AsSpan(start, Math.Min(BlockLength, input.Length - start)).CopyTo(block);
            var scale = BlockScale.Of(block, kind == CompressionKind.Int8 ? 127 : 7);
            var words = Words(s_key, (uint)(start / BlockLength));
            var levels = new int[BlockLength];
            for (var place = 0; place < BlockLength; place++)
            {
                (levels[place], var lost) = Level(block[place], BlockScale.Value(scale), kind == CompressionKind.Int8 ? 127 : 7, rounding, words[place]);
                if (start + place < input.Length) residual[start + place] = lost;
            }

            payload.AddRange([(byte)scale, (byte)(scale >> 8)]);
            payload.AddRange(kind == CompressionKind.Int8
                ? levels.Select(level => (byte)level)
                : Enumerable.Range(0, BlockLength / 2).Select(place => (byte)((levels[place] & 0xF) | (levels[place + BlockLength / 2] << 4))));
        }

        return ([.. payload], residual);
    }

    private static (int Level, float Lost) Level(float value, float scale, int highest, Rounding rounding, uint word)
    {
        if (!(scale > 0)) return (0, value);
        var quotient = value / scale;
        var below = MathF.Floor(quotient);
        var rounded = rounding == Rounding.Nearest ? MathF.Round(quotient) : below + ((word >> 8) * (1f / (1 << 24)) < quotient - below ? 1 : 0);
        // Kept as fp32: a zero keeps its sign, and what it loses too.
        var level = Math.Clamp(rounded, -highest, highest);
        return ((int)level, value - level * scale);
    }
}
