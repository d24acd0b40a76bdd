using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Pipeline.Runs;

/// <summary>
/// The few protobuf messages of TensorBoard that we need, encoded by hand (field numbers of <c>event.proto</c> and <c>summary.proto</c>):
/// Event {1 wall_time, 2 step, 3 file_version, 5 summary, 7 session_log}, Summary {1 value}, Value {1 tag, 2 simple_value}.
/// </summary>
internal static class TensorBoardEvent
{
    private const int VarintType = 0;
    private const int Fixed64Type = 1;
    private const int BytesType = 2;
    private const int Fixed32Type = 5;
    private const int SessionStart = 1;

    internal static byte[] FileHeader(double wallTime) => Event(wallTime, 0, message => WriteBytes(message, 3, "brain.Event:2"u8));

    /// <summary>Tells TensorBoard to forget points of this step and later ones, which an earlier file of the run may hold.</summary>
    internal static byte[] Restart(double wallTime, long step) => Event(wallTime, step, message =>
    {
        var log = new ArrayBufferWriter<byte>();
        WriteTag(log, 1, VarintType);
        WriteVarint(log, SessionStart);
        WriteBytes(message, 7, log.WrittenSpan);
    });

    internal static byte[] Scalars(double wallTime, long step, IEnumerable<(string Tag, double Value)> values) => Event(wallTime, step, message =>
    {
        var summary = new ArrayBufferWriter<byte>();
        foreach (var (tag, number) in values)
        {
            var value = new ArrayBufferWriter<byte>();
            WriteBytes(value, 1, Encoding.UTF8.GetBytes(tag));
            WriteTag(value, 2, Fixed32Type);
            BinaryPrimitives.WriteSingleLittleEndian(value.GetSpan(sizeof(float)), (float)number);
            value.Advance(sizeof(float));
            WriteBytes(summary, 1, value.WrittenSpan);
        }

        WriteBytes(message, 5, summary.WrittenSpan);
    });

    private static byte[] Event(double wallTime, long step, Action<ArrayBufferWriter<byte>> writeWhat)
    {
        var message = new ArrayBufferWriter<byte>();
        WriteTag(message, 1, Fixed64Type);
        BinaryPrimitives.WriteDoubleLittleEndian(message.GetSpan(sizeof(double)), wallTime);
        message.Advance(sizeof(double));
        WriteTag(message, 2, VarintType);
        WriteVarint(message, (ulong)step);
        writeWhat(message);
        return message.WrittenSpan.ToArray();
    }

    private static void WriteBytes(ArrayBufferWriter<byte> message, int field, ReadOnlySpan<byte> bytes)
    {
        WriteTag(message, field, BytesType);
        WriteVarint(message, (ulong)bytes.Length);
        message.Write(bytes);
    }

    private static void WriteTag(ArrayBufferWriter<byte> message, int field, int type) => WriteVarint(message, (ulong)((field << 3) | type));

    private static void WriteVarint(ArrayBufferWriter<byte> message, ulong value)
    {
        const int payloadBits = 7;
        const ulong more = 1 << payloadBits;
        for (; value >= more; value >>= payloadBits)
            message.Write([(byte)(value | more)]);
        message.Write([(byte)value]);
    }
}
