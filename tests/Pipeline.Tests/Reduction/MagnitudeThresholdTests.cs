using System.Runtime.InteropServices;
using CsCheck;
using Pipeline.Reduction.Compression;
using Xunit;

namespace Pipeline.Tests.Reduction;

public sealed class MagnitudeThresholdTests
{
    private const int Length = 100_003;

    public static TheoryData<string> Kinds => ["ordinary", "scales", "ties", "rising", "columns", "zeros", "equal", "not finite"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_threshold_among_the_largest_is_that_among_all(string kind)
    {
        var bits = MemoryMarshal.Cast<float, uint>(Values(kind));
        var foundCount = 0;
        foreach (var count in new[] { 1, 2, 10, 99, 1000, 1001, 10_000, Length / 8 })
        {
            if (MagnitudeThreshold.AmongLargest(bits, count) is not { } threshold) continue;
            foundCount++;
            Assert.Equal(MagnitudeThreshold.AmongAll(bits, count), threshold);
            Assert.InRange(count, Above(bits, threshold.Bits) + 1, Above(bits, threshold.Bits) + Equal(bits, threshold.Bits));
            Assert.Equal(count - Above(bits, threshold.Bits), threshold.TieCount);
        }

        // Nothing stands out of equal magnitudes; of all others the sample finds most.
        if (kind is "equal" or "zeros") Assert.True(foundCount <= 1);
        else Assert.True(foundCount >= 6, $"{foundCount} of 8");
    }

    [Fact]
    public void Without_many_elements_or_with_many_to_keep_all_are_looked_at()
    {
        var bits = MemoryMarshal.Cast<float, uint>(Values("ordinary"));
        Assert.Null(MagnitudeThreshold.AmongLargest(bits[..1000], 10));
        Assert.Null(MagnitudeThreshold.AmongLargest(bits, Length / 2));
    }

    [Fact]
    public void Every_width_gathers_the_same_magnitudes_and_says_when_they_do_not_fit()
    {
        Gen.Select(Spans.Any, Gen.UInt[0, MagnitudeThreshold.Mask]).Sample((input, floor) =>
        {
            uint[] bits = [.. input.Select(BitConverter.SingleToUInt32Bits)];
            uint[] expected = [.. bits.Select(value => value & MagnitudeThreshold.Mask).Where(value => value >= floor)];
            var found = new uint[bits.Length + LargestMagnitudes.Slack];
            Assert.Equal(expected.Length, LargestMagnitudes.Gather(bits, floor, found));
            Assert.Equal(expected, found[..expected.Length]);
            if (expected.Length > 0) Assert.Equal(-1, LargestMagnitudes.Gather(bits, floor, new uint[LargestMagnitudes.Slack - 1]));
            for (var start = 0; start + 16 <= bits.Length; start += 16)
            {
                var (narrow, wide) = (new uint[16], new uint[16]);
                var count = LargestMagnitudes.NarrowGather(bits.AsSpan(start, 16), floor, narrow);
                Assert.Equal(bits[start..(start + 16)].Count(value => (value & MagnitudeThreshold.Mask) >= floor), count);
                if (WideBlockKernels.IsSupported) Assert.Equal(count, LargestMagnitudes.WideGather(bits.AsSpan(start, 16), floor, wide));
                if (WideBlockKernels.IsSupported) Assert.Equal(narrow[..count], wide[..count]);
            }
        }, iter: 300);
    }

    [Fact]
    public void Top_k_of_many_elements_keeps_the_largest_and_loses_nothing_in_place_or_apart()
    {
        var input = Values("ties");
        var compressor = new TopKCompressor(0.01);
        var payload = new byte[compressor.MaxByteCount(Length)];
        var (residual, inPlace, sent) = (new float[Length], (float[])input.Clone(), new float[Length]);
        var length = compressor.Compress(input, residual, payload, default);
        Assert.Equal(length, compressor.Compress(inPlace, inPlace, payload, default));
        compressor.Decompress(payload.AsSpan(0, length), sent);
        var kept = Enumerable.Range(0, Length).OrderByDescending(index => Math.Abs(input[index])).ThenBy(index => index).Take(compressor.CountOf(Length)).ToHashSet();
        for (var index = 0; index < Length; index++) Assert.Equal((kept.Contains(index) ? input[index] : 0, kept.Contains(index) ? 0 : input[index]), (sent[index], residual[index]));
        Assert.True(Spans.SameBits(residual, inPlace));
    }

    private static int Above(ReadOnlySpan<uint> bits, uint threshold) => bits.ToArray().Count(value => (value & MagnitudeThreshold.Mask) > threshold);

    private static int Equal(ReadOnlySpan<uint> bits, uint threshold) => bits.ToArray().Count(value => (value & MagnitudeThreshold.Mask) == threshold);

    private static float[] Values(string kind)
    {
        var random = new Random(7);
        return [.. Enumerable.Range(0, Length).Select(index =>
        {
            var value = random.NextSingle() + random.NextSingle() + random.NextSingle() + random.NextSingle() - 2;
            return kind switch
            {
                "scales" => MathF.ScaleB(value, -(index / 1000 % 12)),
                "ties" => MathF.Round(value * 200) / 200,
                "rising" => index * 0.001f,
                "columns" => index % 64 == 0 ? 10 * value : value,
                "zeros" => index == 50_000 ? 1 : 0,
                "equal" => index % 2 == 0 ? 1 : -1,
                "not finite" => index % 997 == 0 ? float.NaN : index % 991 == 0 ? float.NegativeInfinity : value,
                _ => value,
            };
        })];
    }
}
