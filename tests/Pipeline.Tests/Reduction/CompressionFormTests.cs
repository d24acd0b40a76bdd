using CsCheck;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Wire;
using Xunit;

namespace Pipeline.Tests.Reduction;

public sealed class CompressionFormTests
{
    [Theory]
    [InlineData(CompressionKind.Int8, 127)]
    [InlineData(CompressionKind.Int4, 7)]
    public void Quantised_elements_are_those_of_the_scalar_definition(CompressionKind kind, int highest)
    {
        Spans.Any.Sample(input =>
        {
            var compressor = new BlockCompressor(kind, Rounding.Nearest);
            var payload = new byte[compressor.MaxByteCount(input.Length)];
            Assert.Equal(payload.Length, compressor.Compress(input, default, payload, default));
            var sent = new float[input.Length];
            compressor.Decompress(payload, sent);
            foreach (var block in Enumerable.Range(0, input.Length).Chunk(128))
            {
                var scale = block.Max(index => Math.Abs(input[index])) / highest;
                while ((BitConverter.SingleToUInt32Bits(scale) & 0xFFFF) != 0) scale = BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(scale) | 0xFFFF) + 1);
                if (!float.IsFinite(scale * highest)) scale = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(scale) - 0x10000);
                foreach (var index in block)
                    Assert.Equal(scale == 0 ? 0 : Math.Clamp(MathF.Round(input[index] / scale), -highest, highest) * scale, sent[index]);
            }
        }, iter: 500);
    }

    [Fact]
    public void One_bit_sends_signs_with_the_mean_magnitude_of_their_block_and_loses_less_than_it_is_given()
    {
        Spans.Moderate(1300).Sample(input =>
        {
            var compressor = new OneBitCompressor();
            var payload = new byte[compressor.MaxByteCount(input.Length)];
            var residual = new float[input.Length];
            Assert.Equal(payload.Length, compressor.Compress(input, residual, payload, default));
            var sent = new float[input.Length];
            compressor.Decompress(payload, sent);
            foreach (var block in Enumerable.Range(0, input.Length).Chunk(512))
            {
                var mean = block.Average(index => Math.Abs((double)input[index]));
                // bfloat16 has 8 significant bits; the sum of 512 floats errs far less.
                foreach (var index in block) Assert.InRange(sent[index] * Math.Sign(input[index] == 0 ? sent[index] : input[index]), mean * (1 - 1.0 / 200), mean * (1 + 1.0 / 200));
                // What makes error feedback converge (Karimireddy et al. 2019): the residual is shorter than the input.
                Assert.True(block.Sum(index => (double)residual[index] * residual[index]) <= block.Sum(index => (double)input[index] * input[index]));
            }
        }, iter: 300);
    }

    [Fact]
    public void Top_k_keeps_the_largest_and_of_equal_ones_the_first()
    {
        var values = Gen.OneOf(Spans.Any.Where(input => input.Length > 0), Gen.Int[-3, 3].Select(value => value * 0.25f).Array[1, 500]);
        Gen.Select(values, Gen.Double[0.001, 1]).Sample((input, share) =>
        {
            var compressor = new TopKCompressor(share);
            var payload = new byte[compressor.MaxByteCount(input.Length)];
            var length = compressor.Compress(input, default, payload, default);
            var sent = new float[input.Length];
            compressor.Decompress(payload.AsSpan(0, length), sent);
            var kept = Enumerable.Range(0, input.Length).OrderByDescending(index => Math.Abs(input[index])).ThenBy(index => index).Take(compressor.CountOf(input.Length)).ToHashSet();
            for (var index = 0; index < input.Length; index++) Assert.Equal(kept.Contains(index) ? input[index] : 0, sent[index]);
        }, iter: 1000);
    }

    [Fact]
    public void BFloat16_rounds_to_nearest_even_and_never_to_infinity()
    {
        Gen.Float.Where(float.IsFinite).Array[1, 64].Sample(input =>
        {
            var compressor = new BFloat16Compressor(Rounding.Nearest);
            var payload = new byte[compressor.MaxByteCount(input.Length)];
            compressor.Compress(input, default, payload, default);
            var sent = new float[input.Length];
            compressor.Decompress(payload, sent);
            for (var index = 0; index < input.Length; index++) Assert.Equal(NearestBFloat16(input[index]), sent[index]);
        }, iter: 2000);
    }

    [Theory]
    [InlineData("bf16 nearest", 1.99)]
    [InlineData("int8 nearest", 3.9)]
    [InlineData("int4 nearest", 7.5)]
    [InlineData("one-bit", 31)]
    [InlineData("top-k 0.01", 40)]
    public void A_compressed_bucket_has_the_promised_size(string name, double ratio)
    {
        float[] bucket = [.. Enumerable.Range(0, 1 << 18).Select(index => MathF.Sin(index) * MathF.Sin(index * 0.37f))];
        var compressor = Compressors.Of(name);
        var bytes = Encode(compressor, bucket);
        Assert.InRange(4.0 * bucket.Length / bytes.Length, ratio, double.MaxValue);
    }

    [Theory]
    [InlineData("none")]
    [InlineData("bf16 nearest")]
    [InlineData("int8 nearest")]
    [InlineData("int4 nearest")]
    [InlineData("one-bit")]
    [InlineData("top-k 0.2")]
    public void Hostile_bytes_end_in_an_exception_and_take_little_memory(string name)
    {
        var compressor = Compressors.Of(name);
        var input = Enumerable.Range(0, 200).Select(index => MathF.Cos(index)).ToArray();
        var valid = Encode(compressor, input).ToArray();
        var output = new float[input.Length];
        var alterations = Gen.OneOf(
            Gen.Select(Gen.Int[0, valid.Length], Gen.Byte.Array[0, 40], (kept, tail) => (byte[])[.. valid.AsSpan(0, kept), .. tail]),
            Gen.Select(Gen.Int[0, valid.Length - 1], Gen.Byte, (place, value) => valid.Select((old, index) => index == place ? value : old).ToArray()));
        alterations.Sample(bytes => Allocations.AssertAtMost(64 * 1024, () => Read(bytes)), iter: 5_000, threads: 1);

        void Read(byte[] bytes)
        {
            try
            {
                compressor.Decompress(CompressedSpanCodec.Decode(bytes, compressor.Kind, input.Length), output);
            }
            catch (CompressionException)
            {
                // What is wanted of most of these bytes; an altered value is the frame's checksum's business.
            }
        }
    }

    [Fact]
    public void A_span_of_another_kind_or_length_is_refused_before_its_payload_is_read()
    {
        var bytes = new byte[CompressedSpanCodec.Overhead(CompressionKind.Int8, 10) + 130];
        CompressedSpanCodec.WriteHead(bytes, CompressionKind.Int8, 10, 130);
        Assert.Throws<CompressionException>(() => CompressedSpanCodec.Decode(bytes, CompressionKind.Int4, 10).Length);
        Assert.Throws<CompressionException>(() => CompressedSpanCodec.Decode(bytes, CompressionKind.Int8, 11).Length);
        Assert.Equal(130, CompressedSpanCodec.Decode(bytes, CompressionKind.Int8, 10).Length);
    }

    private static ReadOnlyMemory<byte> Encode(ICompressor compressor, float[] input)
    {
        var start = CompressedSpanCodec.Overhead(compressor.Kind, input.Length);
        var bytes = new byte[start + compressor.MaxByteCount(input.Length)];
        var length = compressor.Compress(input, default, bytes.AsSpan(start), default);
        CompressedSpanCodec.WriteHead(bytes, compressor.Kind, input.Length, length);
        return bytes.AsMemory(0, start + length);
    }

    private static float NearestBFloat16(float value)
    {
        var below = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000);
        var above = BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000) + 0x10000);
        if (!float.IsFinite(above)) return below;
        var (down, up) = (Math.Abs((double)value - below), Math.Abs((double)above - value));
        if (down != up) return down < up ? below : above;
        return (BitConverter.SingleToUInt32Bits(below) & 0x10000) == 0 ? below : above;
    }
}
