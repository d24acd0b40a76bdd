using System.Buffers.Binary;
using System.Text.Json;
using CsCheck;
using Pipeline.Checkpoints;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Checkpoints;

public sealed class SafetensorsTests
{
    private static readonly string[] s_types = [TensorTypes.F64, TensorTypes.F32, TensorTypes.BF16, TensorTypes.F16, TensorTypes.I64, TensorTypes.I32, TensorTypes.U8];

    private static readonly Gen<TensorSource[]> s_tensors =
        Gen.Select(Gen.OneOf(s_types), Gen.Long[0, 9].Array[0, 4]).Array[0, 12]
            .Select(items => items.Select((item, index) => SampleCheckpoint.Source($"tensor.{index}.wörter \"{index}\"", item.Item1, item.Item2, index)).ToArray());

    [Fact]
    public void What_is_written_is_read_back_to_the_byte_and_by_any_range()
    {
        using var folder = new TemporaryFolder();
        Gen.Select(s_tensors, Gen.Double[0, 1], Gen.Double[0, 1]).Sample((tensors, a, b) =>
        {
            var path = folder.In("a.safetensors");
            var stored = Write(path, tensors);
            using var reader = SafetensorsReader.Open(path);
            Assert.Equal(tensors.Length, reader.Header.Entries.Count);
            Assert.Equal("pt", reader.Header.Metadata["format"]);
            foreach (var (tensor, index) in tensors.Select((tensor, index) => (tensor, index)))
            {
                var expected = SampleCheckpoint.Expected(tensor.Name, index, 1, (int)tensor.ByteCount);
                var (from, to) = ((int)(Math.Min(a, b) * expected.Length), (int)(Math.Max(a, b) * expected.Length));
                var bytes = new byte[to - from];
                reader.ReadTensor(tensor.Name, from, bytes);
                Assert.Equal(expected[from..to], bytes);
                Assert.Equal(ContentHash.Of(expected), stored.Tensors.Single(t => t.Name == tensor.Name).Hash);
            }
        }, iter: 300, threads: 1);
    }

    [Fact]
    public void The_file_is_what_the_format_says()
    {
        using var folder = new TemporaryFolder();
        s_tensors.Sample(tensors =>
        {
            var path = folder.In("a.safetensors");
            var stored = Write(path, tensors);
            var bytes = File.ReadAllBytes(path);
            Assert.Equal(stored.ByteCount, bytes.Length);
            Assert.Equal(stored.Hash, ContentHash.Of(bytes));
            var headerByteCount = (int)BinaryPrimitives.ReadUInt64LittleEndian(bytes);
            Assert.Equal(0, (8 + headerByteCount) % 64);
            Assert.Equal((byte)'{', bytes[8]);
            using var header = JsonDocument.Parse(bytes.AsMemory(8, headerByteCount));
            long end = 0;
            foreach (var entry in header.RootElement.EnumerateObject().Where(p => p.Name != "__metadata__").OrderBy(p => p.Value.GetProperty("data_offsets")[1].GetInt64()).ThenBy(p => p.Value.GetProperty("data_offsets")[0].GetInt64()))
            {
                var (from, to) = (entry.Value.GetProperty("data_offsets")[0].GetInt64(), entry.Value.GetProperty("data_offsets")[1].GetInt64());
                var tensor = tensors.Single(t => t.Name == entry.Name);
                Assert.Equal(end, from);
                Assert.Equal(tensor.ByteCount, to - from);
                Assert.Equal(0, from % ((to - from) % 64 == 0 ? 64 : TensorTypes.ElementByteCount(tensor.DType)));
                end = to;
            }

            Assert.Equal(bytes.Length - 8 - headerByteCount, end);
        }, iter: 300, threads: 1);
    }

    [Fact]
    public void Tensors_over_2_GiB_are_pulled_in_chunks_of_bounded_size()
    {
        const long count = (2L << 30) / 4 + 1000;
        long next = 0;
        var largest = 0;
        var writer = new SafetensorsWriter([new("large", TensorTypes.F32, [count], (offset, destination) =>
        {
            Assert.Equal(next, offset);
            next += destination.Length;
            largest = Math.Max(largest, destination.Length);
        })]);
        var stored = writer.WriteTo("large.safetensors", Stream.Null);
        Assert.Equal(count * 4, next);
        Assert.InRange(largest, 1, 4 << 20);
        Assert.InRange(stored.ByteCount, count * 4, count * 4 + 4096);
    }

    [Fact]
    public void Bytes_past_2_GiB_are_read()
    {
        using var folder = new TemporaryFolder();
        var path = folder.In("sparse.safetensors");
        const long byteCount = 3L << 30;
        var header = $"{{\"a\":{{\"dtype\":\"U8\",\"shape\":[{byteCount}],\"data_offsets\":[0,{byteCount}]}}}}";
        using (var stream = File.Create(path))
        {
            stream.Write(BitConverter.GetBytes((ulong)header.Length));
            stream.Write(System.Text.Encoding.UTF8.GetBytes(header));
            stream.SetLength(stream.Position + byteCount); // sparse: takes no room
            stream.Seek(-1, SeekOrigin.End);
            stream.WriteByte(42);
        }

        using var reader = SafetensorsReader.Open(path);
        var last = new byte[1];
        reader.ReadTensor("a", byteCount - 1, last);
        Assert.Equal(42, last[0]);
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadTensor("a", byteCount, last));
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadTensor("a", -1, last));
    }

    [Fact]
    public void Two_tensors_of_one_name_are_refused() =>
        Assert.Throws<ArgumentException>(() => new SafetensorsWriter([SampleCheckpoint.Source("a", "F32", [1], 0), SampleCheckpoint.Source("a", "F32", [2], 0)]));

    private static StoredFile Write(string path, TensorSource[] tensors)
    {
        using var stream = File.Create(path);
        return new SafetensorsWriter(tensors, new Dictionary<string, string>(StringComparer.Ordinal) { ["format"] = "pt" }).WriteTo("a.safetensors", stream);
    }
}
