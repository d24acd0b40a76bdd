using Pipeline.Model.Numerics;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction.Compression;
using Pipeline.Stages;
using Pipeline.Tests.Model;
using Pipeline.Tests.Training;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>What crosses a boundary between stages as fewer bytes.</summary>
[Collection(PipelineCollection.Name)]
public sealed class BoundaryCompressionTests
{
    private static readonly FrameKey Key = new(new StepKey(new RunId(1), Generation.None, 0, 3), 1, 2, 0, FrameKind.Activation);

    [Theory]
    [InlineData(CompressionKind.BFloat16, ScalarType.Float32, 1.9, 1.0 / 256)]
    [InlineData(CompressionKind.Int8, ScalarType.Float32, 3.5, 1.0 / 127)]
    [InlineData(CompressionKind.Int4, ScalarType.BFloat16, 6, 1.0 / 7)]
    public void A_tensor_comes_back_with_its_shape_and_type_near_what_it_was(CompressionKind kind, ScalarType type, double ratio, double tolerance)
    {
        TorchRuntime.Initialize();
        using var scope = NewDisposeScope();
        var boundary = new BoundaryCompression(new CompressionSettings { Kind = kind, ErrorFeedback = false }, 5);
        var original = Noise.Uniform(1, 4, 16, 32).to_type(type);
        var encoded = boundary.Encode(original.clone(), Key);
        Assert.True(original.numel() * 4.0 / encoded.numel() > ratio);
        using (var again = boundary.Encode(original.clone(), Key)) Assert.True(encoded.bytes.SequenceEqual(again.bytes));
        var decoded = boundary.Decode(encoded, type, CPU);
        Assert.Equal(original.shape, decoded.shape);
        Assert.Equal(type, decoded.dtype);
        Assert.InRange(original.to_type(ScalarType.Float32).sub(decoded.to_type(ScalarType.Float32)).abs().max().item<float>(), 0, (float)tolerance);
    }

    [Fact]
    public void Bytes_that_are_no_tensor_are_refused_and_take_no_memory()
    {
        TorchRuntime.Initialize();
        using var scope = NewDisposeScope();
        var boundary = new BoundaryCompression(new CompressionSettings { Kind = CompressionKind.Int8, ErrorFeedback = false }, 5);
        var random = new Random(3);
        for (var length = 0; length < 200; length++)
        {
            var garbage = new byte[length];
            random.NextBytes(garbage);
            if (length > 8) garbage.AsSpan(0, 8).Clear();
            if (length > 8) garbage[0] = (byte)random.Next(1, 9);
            var encoded = empty(length, ScalarType.Byte);
            garbage.CopyTo(encoded.bytes);
            Assert.Throws<CompressionException>(() => boundary.Decode(encoded, ScalarType.Float32, CPU));
        }

        Assert.Throws<CompressionException>(() => boundary.Decode(zeros(3), ScalarType.Float32, CPU));
    }

    [Fact]
    public void A_shape_that_the_bytes_are_not_of_is_refused_before_memory_is_taken_for_it()
    {
        TorchRuntime.Initialize();
        using var scope = NewDisposeScope();
        var boundary = new BoundaryCompression(new CompressionSettings { Kind = CompressionKind.Int8, ErrorFeedback = false }, 5);
        foreach (var claimed in new[] { 0L, 127, 129, 512, -1, long.MaxValue })
        {
            var encoded = boundary.Encode(Noise.Uniform(1, 128), Key);
            System.Buffers.Binary.BinaryPrimitives.WriteInt64LittleEndian(encoded.bytes[sizeof(long)..], claimed);
            var fault = Assert.Throws<CompressionException>(() => boundary.Decode(encoded, ScalarType.Float32, CPU));
            Assert.True(fault.Message.Contains("bytes", StringComparison.Ordinal) || claimed == 127, fault.Message);
        }
    }
}
