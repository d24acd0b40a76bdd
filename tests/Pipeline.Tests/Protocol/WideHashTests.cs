using System.IO.Hashing;
using Pipeline.Protocol.Frames;
using Xunit;

namespace Pipeline.Tests.Protocol;

/// <summary>The hash of frames in wide registers, against the library's.</summary>
public sealed class WideHashTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(-1)]
    [InlineData(0x1234_5678_9ABC_DEF0)]
    public void It_is_the_librarys_value_for_every_length_around_stripes_and_rounds(long seed)
    {
        var bytes = new byte[5000];
        new Random(7).NextBytes(bytes);
        var hash = new WideHash();
        for (var length = WideHash.ShortestLength; length <= bytes.Length; length++)
        {
            var block = bytes.AsSpan(bytes.Length - length);
            hash.Begin(seed, length);
            Assert.Equal(XxHash3.HashToUInt64(block, seed), hash.Finish(block));
        }
    }

    [Fact]
    public void A_block_may_fill_in_pieces_of_any_size()
    {
        var random = new Random(11);
        var hash = new WideHash();
        for (var trial = 0; trial < 200; trial++)
        {
            var block = new byte[random.Next(WideHash.ShortestLength, 20_000)];
            random.NextBytes(block);
            var seed = random.NextInt64();
            hash.Begin(seed, block.Length);
            for (var filled = 0; filled < block.Length; filled = Math.Min(block.Length, filled + random.Next(0, 3000)))
            {
                hash.Advance(block.AsSpan(0, filled));
                // What is not there yet does not count.
                if (random.Next(4) == 0) break;
            }

            Assert.Equal(XxHash3.HashToUInt64(block, seed), hash.Finish(block));
        }
    }

    [Fact]
    public void A_bit_that_is_altered_anywhere_alters_it()
    {
        var block = new byte[3000];
        new Random(3).NextBytes(block);
        var hash = new WideHash();
        hash.Begin(5, block.Length);
        var whole = hash.Finish(block);
        for (var index = 0; index < block.Length; index++)
        {
            block[index] ^= 16;
            hash.Begin(5, block.Length);
            Assert.NotEqual(whole, hash.Finish(block));
            block[index] ^= 16;
        }
    }
}
