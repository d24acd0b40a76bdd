using System.Buffers.Binary;
using System.IO.Hashing;
using Pipeline.Checkpoints;
using Xunit;

namespace Pipeline.Tests.Checkpoints;

/// <summary>A small checkpoint whose every byte follows from a seed, saved by two stages, so that what is read can be checked without a copy.</summary>
internal static class SampleCheckpoint
{
    private static readonly (string Name, string DType, long[] Shape)[] s_tensors =
    [
        ("embedding.weight", TensorTypes.F32, [16, 8]),
        ("block.0.attention.weight", TensorTypes.F32, [3, 5]),
        ("block.1.feed_forward.weight", TensorTypes.BF16, [7]),
        ("head.weight", TensorTypes.F32, [8, 16]),
        ("head.scale", TensorTypes.F32, []),
    ];

    internal static readonly CheckpointDescription Description = new()
    {
        Seed = 7,
        Model = new Dictionary<string, string>(StringComparer.Ordinal) { ["layers"] = "2", ["width"] = "8" },
        TokenizerHash = "0123456789abcdef",
        Precision = "fp32",
        DataPosition = new DataPosition(40, 320, 40_960),
    };

    internal static CheckpointManifest Save(ICheckpointStore store, long step, int attempt = 0, int partCount = 2, int seed = 1)
    {
        var files = new List<StoredFile>();
        for (var part = 0; part < partCount; part++)
        {
            var weights = s_tensors.Where((_, index) => index % partCount == part).ToList();
            files.Add(store.WriteTensors(new(step, attempt), CheckpointFileName.Model(part, partCount), [.. weights.Select(t => Source(t.Name, t.DType, t.Shape, step, seed))]));
            files.Add(store.WriteTensors(new(step, attempt), CheckpointFileName.Optimizer(part, partCount), [.. weights.Select(t => Source("exp_avg." + t.Name, TensorTypes.F32, t.Shape, step, seed))]));
        }

        files.Add(store.WriteText(new(step, attempt), "config.conf", "pipeline { seed = 7 }\n"));
        return store.Commit(new(step, attempt), Description, files);
    }

    internal static void AssertHolds(CheckpointReader reader, long step, int seed = 1)
    {
        Assert.Equal(step, reader.Step);
        Assert.Equal(s_tensors.Length * 2, reader.Tensors.Count);
        foreach (var (name, _) in reader.Tensors)
        {
            var bytes = new byte[reader.ByteCount(name)];
            reader.Read(name, (offset, chunk) => chunk.CopyTo(bytes.AsSpan((int)offset)));
            Assert.Equal(Expected(name, step, seed, bytes.Length), bytes);
        }
    }

    internal static byte[] Expected(string name, long step, int seed, int byteCount)
    {
        var bytes = new byte[byteCount];
        Fill(name, step, seed, 0, bytes);
        return bytes;
    }

    internal static TensorSource Source(string name, string dtype, long[] shape, long step, int seed = 1) =>
        new(name, dtype, shape, (offset, destination) => Fill(name, step, seed, offset, destination));

    private static void Fill(string name, long step, int seed, long offset, Span<byte> destination)
    {
        Span<byte> key = stackalloc byte[sizeof(long) * 3];
        BinaryPrimitives.WriteInt64LittleEndian(key, step);
        BinaryPrimitives.WriteInt64LittleEndian(key[8..], seed);
        for (var index = 0; index < destination.Length; index++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(key[16..], offset + index + 31L * name.Length + name[0]);
            destination[index] = (byte)XxHash3.HashToUInt64(key);
        }
    }
}
