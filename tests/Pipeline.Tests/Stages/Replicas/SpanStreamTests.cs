using System.Runtime.InteropServices;
using Pipeline.Reduction.Compression;
using Pipeline.Stages;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Stages.Replicas;

public sealed class SpanStreamTests
{
    private const int Length = 200;

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public void What_lies_in_its_place_or_partly_over_it_is_there_whole_afterwards(int distance)
    {
        using SpanStream stream = new(CompressionSettings.None, Length, [], "a", "a", 1, null);
        using var memory = torch.arange(0, Length + distance, dtype: torch.ScalarType.Float32);
        using var sent = memory.narrow(0, 0, Length);
        stream.Decode(sent, MemoryMarshal.Cast<byte, float>(memory.bytes)[distance..], step: 1);
        Assert.Equal(Enumerable.Range(0, Length).Select(index => (float)index), memory.data<float>().ToArray()[distance..]);
    }

    [Theory]
    [InlineData(CompressionKind.None)]
    [InlineData(CompressionKind.Int8)]
    [InlineData(CompressionKind.TopK)]
    [InlineData(CompressionKind.PowerSgd)]
    public void Values_that_are_read_where_they_lie_are_sent_as_those_that_are_written(CompressionKind kind)
    {
        var settings = new CompressionSettings { Kind = kind };
        using ResidualStore one = new(), other = new();
        using SpanStream read = new(settings, Length, [new MatrixRange(0, 10, 20)], "a", "a", 1, one), written = new(settings, Length, [new MatrixRange(0, 10, 20)], "a", "a", 1, other);
        for (var step = 1; step <= 3; step++)
        {
            float[] values = [.. Enumerable.Range(0, Length).Select(index => MathF.Sin(index * step))];
            using var first = read.Encode(step, values.AsSpan());
            using var second = written.Encode(step, place => values.CopyTo(place));
            Assert.True(first.bytes.SequenceEqual(second.bytes));
            Assert.Equal(written.HasAltered, read.HasAltered);
        }

        Assert.Equal(other.State.Select(tensor => tensor.Tensor.data<float>().ToArray()), one.State.Select(tensor => tensor.Tensor.data<float>().ToArray()));
    }
}
