using CsCheck;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Xunit;

namespace Pipeline.Tests.Protocol;

public sealed class TensorFrameCodecTests
{
    private static readonly FrameKey Key = new(new StepKey(new RunId(7), new Generation(2), 0, 41), 1, 3, 0, FrameKind.Activation);

    [Fact]
    public void A_frame_comes_back_with_its_key_shapes_and_bytes()
    {
        WireMessageGenerators.Frames.Sample(frame =>
        {
            var copy = TensorFrameCodec.Decode(TensorFrameCodec.Encode(frame), FrameLimits.Default);
            Assert.Equal(frame.Key, copy.Key);
            Assert.Equal(frame.Span, copy.Span);
            Assert.Equivalent(frame.Tensors, copy.Tensors, strict: true);
            Assert.True(frame.Bytes.Span.SequenceEqual(copy.Bytes.Span));
        }, iter: 200);
    }

    [Fact]
    public void Reading_copies_no_tensor_bytes()
    {
        var frame = Frame(FrameDataType.Float32, [64, 1024]);
        var encoded = TensorFrameCodec.Encode(frame);
        Allocations.AssertAtMost(16 * 1024, () => TensorFrameCodec.Decode(encoded, FrameLimits.Default));
    }

    [Fact]
    public void Each_tensor_starts_at_a_multiple_of_64_bytes()
    {
        var frame = new TensorFrame(Key, [new(FrameDataType.Float32, [3], 12), new(FrameDataType.Int64, [2], 16)], Enumerable.Range(0, 80).Select(n => (byte)n).ToArray());
        Assert.Equal(80, TensorFrame.BlockLength(frame.Tensors));
        Assert.Equal(64, frame.BytesOf(1).Span[0]);
    }

    [Fact]
    public void One_altered_or_missing_byte_is_always_noticed()
    {
        var encoded = TensorFrameCodec.Encode(Frame(FrameDataType.BFloat16, [2, 3]));
        // Small enough to try every place and every change.
        for (var place = 0; place < encoded.Length; place++)
        {
            Assert.Throws<FrameException>(() => TensorFrameCodec.Decode(encoded.AsMemory(0, place), FrameLimits.Default));
            for (var change = 1; change < 256; change++)
            {
                var altered = encoded.ToArray();
                altered[place] ^= (byte)change;
                Assert.Throws<FrameException>(() => TensorFrameCodec.Decode(altered, FrameLimits.Default));
            }
        }
    }

    [Fact]
    public void Random_bytes_end_in_a_frame_exception_and_take_little_memory()
    {
        var valid = TensorFrameCodec.Encode(Frame(FrameDataType.Float32, [4]));
        Gen.Select(Gen.Int[0, valid.Length], Gen.Byte.Array[0, 64]).Sample((kept, tail) =>
        {
            byte[] bytes = [.. valid.AsSpan(0, kept), .. tail];
            Allocations.AssertAtMost(64 * 1024, () => Read(bytes));
        }, iter: 20_000, threads: 1);

        static void Read(byte[] bytes)
        {
            try
            {
                TensorFrameCodec.Decode(bytes, FrameLimits.Default);
            }
            catch (FrameException)
            {
                // What is wanted of most of these bytes.
            }
        }
    }

    [Fact]
    public void Sizes_that_overflow_or_exceed_the_limits_are_refused_before_anything_is_allocated()
    {
        Refused(new TensorFrame(Key, [new(FrameDataType.Float32, [1L << 40, 1L << 40], 16)], new byte[16]), "at most");
        Refused(new TensorFrame(Key, [new(FrameDataType.Float32, [1L << 29], 1L << 31)], new byte[16]), "at most");
        Refused(new TensorFrame(Key, [new(FrameDataType.Float32, [-4], -16)], new byte[16]), "non-empty");
        Refused(new TensorFrame(Key, [new(FrameDataType.Float32, [4], 12)], new byte[12]), "claims 12 bytes");
        Refused(new TensorFrame(Key, [new(FrameDataType.Float32, [4], 16)], new byte[17]), "need 16 bytes");
        Refused(new TensorFrame(Key, [.. Enumerable.Repeat(new FrameTensor(FrameDataType.Float32, [1], 4), 17)], new byte[4]), "17 tensors");
        Refused(new TensorFrame(Key, [new(FrameDataType.Float32, [1, 1, 1, 1, 1, 1, 1, 1, 1], 4)], new byte[4]), "9 dimensions");
        Refused(new TensorFrame(Key with { MicroBatch = -1 }, [], Array.Empty<byte>()), "negative");
        Refused(new TensorFrame(Key with { Kind = (FrameKind)9 }, [], Array.Empty<byte>()), "unknown kind");
    }

    [Fact]
    public void A_frame_larger_than_the_receivers_limit_is_refused()
    {
        var encoded = TensorFrameCodec.Encode(Frame(FrameDataType.Float32, [64]));
        var fault = Assert.Throws<FrameException>(() => TensorFrameCodec.Decode(encoded, new FrameLimits(1, 4, 128)));
        Assert.Contains("128", fault.Message, StringComparison.Ordinal);
    }

    private static void Refused(TensorFrame frame, string reason)
    {
        var fault = Assert.Throws<FrameException>(() => TensorFrameCodec.Decode(TensorFrameCodec.Encode(frame), FrameLimits.Default));
        Assert.Contains(reason, fault.Message, StringComparison.Ordinal);
    }

    private static TensorFrame Frame(FrameDataType type, long[] shape)
    {
        var length = FrameTensor.SizeOf(type) * shape.Aggregate(1L, (a, b) => a * b);
        var bytes = new byte[length];
        for (var index = 0; index < bytes.Length; index++) bytes[index] = (byte)(index * 31);
        return new TensorFrame(Key, [new(type, shape, length)], bytes);
    }
}
