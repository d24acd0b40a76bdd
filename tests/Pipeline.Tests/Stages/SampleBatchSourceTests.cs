using System.Runtime.InteropServices;
using Pipeline.Data;
using Pipeline.Stages;
using Pipeline.Tests.Training;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Stages;

[Collection(PipelineCollection.Name)]
public sealed class SampleBatchSourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-batches-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_micro_batch_holds_the_samples_of_its_position_and_targets_are_tokens_shifted_by_one()
    {
        using var tokens = Tokens(1000);
        var samples = new SampleSource(tokens, 8, seed: 5);
        var source = new SampleBatchSource(samples, new ValidationWindows(tokens, 8), microBatchSize: 3, microBatchCount: 2);
        using var batch = source.Training(step: 4, index: 1, torch.CPU);
        Assert.Equal([21, 22, 23], batch.Samples);
        Assert.Equal(24, batch.TokenCount);
        Assert.Equal([3, 8], batch.Tokens.shape);
        for (var row = 0; row < 3; row++)
        {
            var offset = samples.OffsetOf(3, 3 + row, 6);
            Assert.Equal(Window(offset, 8), Row(batch.Tokens, row));
            Assert.Equal(Window(offset + 1, 8), Row(batch.Targets, row));
        }
    }

    [Fact]
    public void The_held_out_text_ends_with_a_part_of_a_micro_batch_and_then_with_null()
    {
        using var tokens = Tokens(8 * 5 + 1);
        var source = new SampleBatchSource(new SampleSource(tokens, 8, 1), new ValidationWindows(tokens, 8), 2, 1);
        var sizes = new List<int>();
        for (var index = 0; source.Validation(index, torch.CPU) is { } batch; index++)
        {
            using (batch) sizes.Add(batch.Samples.Length);
        }

        Assert.Equal([2, 2, 1], sizes);
    }

    private static long[] Window(long offset, int count) => [.. Enumerable.Range(0, count).Select(place => (offset + place) % 251)];

    private static long[] Row(torch.Tensor tensor, int row) => MemoryMarshal.Cast<byte, long>(tensor.bytes).Slice(row * 8, 8).ToArray();

    private TokenFile Tokens(int count)
    {
        var path = Path.Combine(_folder, "tokens.bin");
        using (TokenFileWriter writer = new(path, new ByteTokenizer()))
        {
            writer.AddDocument([.. Enumerable.Range(0, count).Select(place => place % 251)]);
            writer.Complete();
        }

        return TokenFile.Open(path);
    }
}
