using System.Buffers.Binary;
using System.Text;
using CsCheck;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Runs;

public sealed class TensorBoardTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_checksum_is_CRC_32C()
    {
        // The check value of the CRC catalogue and two vectors of RFC 3720, B.4.
        Assert.Equal(0xE3069283u, TensorBoardRecord.Checksum("123456789"u8));
        Assert.Equal(0x8A9136AAu, TensorBoardRecord.Checksum(new byte[32]));
        Assert.Equal(0x62A8AB43u, TensorBoardRecord.Checksum(Enumerable.Repeat((byte)0xff, 32).ToArray()));
        Gen.Byte.Array[0, 100].Sample(bytes => Assert.Equal(BitwiseChecksum(bytes), TensorBoardRecord.Checksum(bytes)));
    }

    [Fact]
    public void A_reader_of_the_format_finds_header_steps_and_values()
    {
        string path;
        using (var writer = new TensorBoardWriter(_folder.Folder, new FixedTime()))
        {
            path = writer.Path;
            writer.Write(new StepMetrics(300) { Loss = 3.25, GradientNorm = 1.5, LearningRate = 1e-3, Tokens = 4096, Seconds = 0.5, Bubble = 0.2, Stages = [] });
            writer.Write(new EvaluationMetrics(300, 3.5, 1.75));
            writer.Write(new EvaluationMetrics(301, double.NaN, null));
        }

        Assert.Matches(@"^events\.out\.tfevents\.1769862896\.[A-Za-z0-9-]+$", Path.GetFileName(path));
        var events = Read(path).ToList();
        Assert.Equal(4, events.Count);
        Assert.Equal("brain.Event:2", events[0].FileVersion);
        Assert.All(events, item => Assert.Equal(1769862896.789, item.WallTime));
        Assert.Equal(300, events[1].Step);
        Assert.Equal(
            [("train/loss", 3.25f), ("train/gradient_norm", 1.5f), ("train/learning_rate", 1e-3f), ("speed/tokens_per_second", 8192f), ("speed/bubble", 0.2f)],
            events[1].Values);
        Assert.Equal([("validation/loss", 3.5f), ("validation/bits_per_byte", 1.75f)], events[2].Values);
        Assert.True(float.IsNaN(Assert.Single(events[3].Values).Value));
    }

    [Fact]
    public void Any_scalars_are_read_back()
    {
        Gen.Select(Gen.Long[0, long.MaxValue], Gen.Select(Gen.String, Gen.Float[-1e30f, 1e30f]).Array[0, 5]).Sample((step, values) =>
        {
            string path;
            using (var writer = new TensorBoardWriter(_folder.Folder, new FixedTime()))
            {
                path = writer.Path;
                writer.Scalars(step, [.. values.Select(value => (value.Item1, (double)value.Item2))]);
            }

            var read = Read(path).Last();
            File.Delete(path);
            Assert.Equal(step, read.Step);
            Assert.Equal(values.Select(value => (Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(value.Item1)), value.Item2)), read.Values);
        }, iter: 200, threads: 1);
    }

    [Fact]
    public void A_resumed_run_opens_a_file_of_its_own_that_withdraws_later_points()
    {
        using var first = new TensorBoardWriter(_folder.Folder, new FixedTime());
        using var second = new TensorBoardWriter(_folder.Folder, new FixedTime(), resumedAfterStep: 40);
        Assert.NotEqual(first.Path, second.Path);
        var restart = Read(second.Path).Last();
        Assert.Equal(41, restart.Step);
        Assert.Equal(1, restart.SessionStatus);
    }

    private static IEnumerable<Event> Read(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        for (var position = 0; position < bytes.Length;)
        {
            var length = (int)BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(position));
            Assert.Equal(Masked(bytes.AsSpan(position, 8)), BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(position + 8)));
            Assert.Equal(Masked(bytes.AsSpan(position + 12, length)), BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(position + 12 + length)));
            yield return Parse(bytes.AsSpan(position + 12, length));
            position += 12 + length + 4;
        }
    }

    private static Event Parse(ReadOnlySpan<byte> message)
    {
        var result = new Event();
        while (message.Length > 0)
        {
            var tag = Varint(ref message);
            switch (tag)
            {
                case 1 << 3 | 1: result.WallTime = BinaryPrimitives.ReadDoubleLittleEndian(message); message = message[8..]; break;
                case 2 << 3: result.Step = (long)Varint(ref message); break;
                case 3 << 3 | 2: result.FileVersion = Encoding.UTF8.GetString(Bytes(ref message)); break;
                case 5 << 3 | 2: ParseSummary(Bytes(ref message), result.Values); break;
                case 7 << 3 | 2:
                    var log = Bytes(ref message);
                    Assert.Equal(1u << 3, Varint(ref log));
                    result.SessionStatus = (int)Varint(ref log);
                    break;
                default: throw new InvalidDataException($"tag {tag}");
            }
        }

        return result;
    }

    private static void ParseSummary(ReadOnlySpan<byte> summary, List<(string Tag, float Value)> values)
    {
        while (summary.Length > 0)
        {
            Assert.Equal(1u << 3 | 2, Varint(ref summary));
            var value = Bytes(ref summary);
            Assert.Equal(1u << 3 | 2, Varint(ref value));
            var tag = Encoding.UTF8.GetString(Bytes(ref value));
            Assert.Equal(2u << 3 | 5, Varint(ref value));
            values.Add((tag, BinaryPrimitives.ReadSingleLittleEndian(value)));
            Assert.Equal(4, value.Length);
        }
    }

    private static ulong Varint(ref ReadOnlySpan<byte> message)
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var next = message[0];
            message = message[1..];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
                return value;
        }
    }

    private static ReadOnlySpan<byte> Bytes(ref ReadOnlySpan<byte> message)
    {
        var length = (int)Varint(ref message);
        var bytes = message[..length];
        message = message[length..];
        return bytes;
    }

    private static uint Masked(ReadOnlySpan<byte> bytes)
    {
        var checksum = BitwiseChecksum(bytes);
        return unchecked((checksum >> 15 | checksum << 17) + 0xa282ead8u);
    }

    /// <summary>By the definition: division by the reflected polynomial, a bit at a time.</summary>
    private static uint BitwiseChecksum(ReadOnlySpan<byte> bytes)
    {
        var remainder = uint.MaxValue;
        foreach (var value in bytes)
        {
            remainder ^= value;
            for (var bit = 0; bit < 8; bit++)
                remainder = (remainder & 1) != 0 ? remainder >> 1 ^ 0x82F63B78u : remainder >> 1;
        }

        return ~remainder;
    }

    private sealed class Event
    {
        public double WallTime { get; set; }

        public long Step { get; set; }

        public string? FileVersion { get; set; }

        public int SessionStatus { get; set; }

        public List<(string Tag, float Value)> Values { get; } = [];
    }
}
