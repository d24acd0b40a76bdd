using System.Buffers.Binary;
using System.Text;
using CsCheck;
using Pipeline.Checkpoints;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Checkpoints;

public sealed class HostileSafetensorsTests
{
    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", null)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}   """, null)]
    [InlineData("", "not valid JSON")]
    [InlineData("[]", "should be a StartObject")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}} x""", "not valid JSON")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[0],"data_offsets":[16,16]}}""", "stands twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,15]}}""", "needs 16 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}""", "cut off")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}}""", "a gap")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""", "16 follow")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""", "an overlap")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}""", "not a count")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4.5],"data_offsets":[0,16]}}""", "not a count")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}}""", "impossible")]
    [InlineData("""{"a":{"dtype":"F32","shape":[9223372036854775807,0],"data_offsets":[0,16]}}""", "needs 0 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[9223372036854775800,9223372036854775807]}}""", "needs 16 bytes")]
    [InlineData("""{"a":{"dtype":"Q4","shape":[4],"data_offsets":[0,16]}}""", "unknown dtype 'Q4'")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4]}}""", "needs dtype")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1}}""", "unknown or repeated field 'x'")]
    [InlineData("""{"a":{"dtype":7,"shape":[4],"data_offsets":[0,16]}}""", "should be a String")]
    [InlineData("""{"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", "should be a String")]
    [InlineData("""{"a":{"dtype":"F32","shape":[[[[[[4]]]]]],"data_offsets":[0,16]}}""", "holds something")]
    [InlineData("""{"a\ud800":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", "not valid JSON")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,16]}}""", "more than 32")]
    public void A_header_that_lies_is_refused_by_file_and_reason(string header, string? expected)
    {
        using var folder = new TemporaryFolder();
        var path = folder.In("x.safetensors");
        File.WriteAllBytes(path, [.. BitConverter.GetBytes((ulong)Encoding.UTF8.GetByteCount(header)), .. Encoding.UTF8.GetBytes(header), .. new byte[16]]);
        if (expected is null)
        {
            SafetensorsReader.Open(path).Dispose();
            return;
        }

        var exception = Assert.Throws<CheckpointException>(() => SafetensorsReader.Open(path));
        Assert.Contains(path, exception.Message, StringComparison.Ordinal);
        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(100_000_001UL)]
    [InlineData(ulong.MaxValue)]
    [InlineData(1UL << 63)]
    [InlineData(90_000_000UL)]
    public void A_giant_header_is_refused_before_memory_is_taken_for_it(ulong claimed)
    {
        using var folder = new TemporaryFolder();
        var path = folder.In("x.safetensors");
        File.WriteAllBytes(path, [.. BitConverter.GetBytes(claimed), .. "{}"u8]);
        Allocations.AssertAtMost(1 << 20, () => Assert.Throws<CheckpointException>(() => SafetensorsReader.Open(path)));
    }

    [Fact]
    public void A_missing_file_a_folder_and_other_formats_are_refused()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.In("zip"), [.. "PK\u0003\u0004"u8, .. new byte[100]]);
        File.WriteAllBytes(folder.In("pickle"), [0x80, 0x02, .. "ctorch._utils\n_rebuild_tensor"u8]);
        File.WriteAllBytes(folder.In("empty"), []);
        foreach (var name in new[] { "missing", "zip", "pickle", "empty", "." })
            Assert.Throws<CheckpointException>(() => SafetensorsReader.Open(folder.In(name)));
    }

    [Fact]
    public void Mutated_headers_give_a_consistent_header_or_a_CheckpointException()
    {
        var valid = Valid();
        var headerByteCount = (int)BinaryPrimitives.ReadUInt64LittleEndian(valid);
        var header = valid[8..(8 + headerByteCount)];
        var dataByteCount = valid.Length - 8 - headerByteCount;
        Gen.Select(Gen.Select(Gen.Int[0, header.Length - 1], Gen.Byte).Array[1, 4], Gen.Int[0, 4]).Sample((changes, truncated) =>
        {
            var mutant = (byte[])header.Clone();
            foreach (var (position, value) in changes)
                mutant[position] = value;
            AssertConsistentOrRefused(mutant.AsSpan(0, mutant.Length - truncated * 7), dataByteCount);
        }, iter: 20_000);
    }

    [Fact]
    public void Mutated_files_give_a_readable_file_or_a_CheckpointException()
    {
        using var folder = new TemporaryFolder();
        var valid = Valid();
        Gen.Select(Gen.Int[0, valid.Length], Gen.Int[0, valid.Length - 1], Gen.Byte).Sample((length, position, value) =>
        {
            var mutant = (byte[])valid.Clone();
            mutant[position] = value;
            var path = folder.In("mutant.safetensors");
            File.WriteAllBytes(path, length % 3 == 0 ? mutant[..length] : mutant);
            try
            {
                using var reader = SafetensorsReader.Open(path);
                foreach (var entry in reader.Header.Entries)
                    reader.ReadTensor(entry.Name, 0, new byte[entry.ByteCount]);
            }
            catch (CheckpointException exception)
            {
                Assert.Contains(path, exception.Message, StringComparison.Ordinal);
            }
        }, iter: 1000, threads: 1);
    }

    private static void AssertConsistentOrRefused(ReadOnlySpan<byte> json, long dataByteCount)
    {
        try
        {
            var header = SafetensorsHeaderParser.Parse(json, dataByteCount, "file");
            Assert.Equal(dataByteCount, header.Entries.Sum(entry => entry.ByteCount));
        }
        catch (CheckpointException exception)
        {
            Assert.StartsWith("file ", exception.Message, StringComparison.Ordinal);
        }
    }

    private static byte[] Valid()
    {
        var stream = new MemoryStream();
        new SafetensorsWriter(
            [SampleCheckpoint.Source("a.weight", "F32", [4, 4], 0), SampleCheckpoint.Source("b", "BF16", [5], 0), SampleCheckpoint.Source("c", "I64", [], 0)],
            new Dictionary<string, string>(StringComparer.Ordinal) { ["step"] = "3" }).WriteTo("x", stream);
        return stream.ToArray();
    }
}
