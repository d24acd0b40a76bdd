using System.Buffers;
using System.Buffers.Binary;
using MessagePack;
using Pipeline.Reduction.Compression;

namespace Pipeline.Reduction.Wire;

/// <summary>
/// The MessagePack form of a compressed span: an array of version, kind, number of elements and the payload as <c>bin32</c>. The receiver
/// knows what it awaits, so anything else is refused before memory is taken for it. Altered payloads are found by the checksum of the
/// frame around it, and no payload can make a compressor read or write elsewhere.
/// </summary>
public static class CompressedSpanCodec
{
    private const int Version = 1;
    private const byte Bin32 = 0xC6;
    private const int BinHeaderLength = 5;

    /// <summary>More than any head takes, also one that is not written as briefly as it could be.</summary>
    private const int MaxHeadLength = 48;

    /// <summary>Bytes of a span beside its payload.</summary>
    /// <param name="kind">How it is compressed.</param>
    /// <param name="elementCount">Elements.</param>
    public static int Overhead(CompressionKind kind, int elementCount) =>
        1 + MessagePackWriter.GetEncodedLength(Version) + MessagePackWriter.GetEncodedLength((int)kind) + MessagePackWriter.GetEncodedLength(elementCount) + BinHeaderLength;

    /// <summary>Writes what stands before the payload: <see cref="Overhead"/> bytes, whatever the payload's length.</summary>
    /// <param name="target">Where the span begins.</param>
    /// <param name="kind">What has written the payload.</param>
    /// <param name="elementCount">Elements that are compressed.</param>
    /// <param name="payloadLength">Its bytes.</param>
    public static void WriteHead(Span<byte> target, CompressionKind kind, int elementCount, int payloadLength)
    {
        var head = new ArrayBufferWriter<byte>(MaxHeadLength);
        var writer = new MessagePackWriter(head);
        writer.WriteArrayHeader(4);
        writer.Write(Version);
        writer.Write((int)kind);
        writer.Write(elementCount);
        writer.Flush();
        head.WrittenSpan.CopyTo(target);
        target[head.WrittenCount] = Bin32;
        BinaryPrimitives.WriteInt32BigEndian(target[(head.WrittenCount + 1)..], payloadLength);
    }

    /// <summary>Reads a span: its payload, where it lies.</summary>
    /// <param name="bytes">What arrived.</param>
    /// <param name="kind">The kind that is awaited.</param>
    /// <param name="elementCount">The number of elements that is awaited.</param>
    /// <exception cref="CompressionException">It is not a span, or not the one awaited.</exception>
    public static ReadOnlySpan<byte> Decode(ReadOnlySpan<byte> bytes, CompressionKind kind, int elementCount)
    {
        try
        {
            return Read(bytes, kind, elementCount);
        }
        catch (Exception fault) when (fault is MessagePackSerializationException or EndOfStreamException or OverflowException)
        {
            throw new CompressionException($"Compressed span: the encoding is broken ({fault.Message}).", fault);
        }
    }

    private static ReadOnlySpan<byte> Read(ReadOnlySpan<byte> bytes, CompressionKind kind, int elementCount)
    {
        var reader = new MessagePackReader(bytes[..Math.Min(MaxHeadLength, bytes.Length)].ToArray());
        if (reader.ReadArrayHeader() != 4) throw new CompressionException("Compressed span: expected 4 fields.");
        var version = reader.ReadInt32();
        if (version != Version) throw new CompressionException($"Compressed span: version {version} is not known; this build reads {Version}.");
        var (foundKind, foundCount) = ((CompressionKind)reader.ReadInt32(), reader.ReadInt32());
        if (foundKind != kind || foundCount != elementCount)
            throw new CompressionException($"Compressed span: awaited are {elementCount} elements as {kind}, found are {foundCount} as {(int)foundKind}.");
        var rest = bytes[(int)reader.Consumed..];
        if (rest.Length < BinHeaderLength || rest[0] != Bin32) throw new CompressionException("Compressed span: the payload is missing.");
        var length = BinaryPrimitives.ReadUInt32BigEndian(rest[1..]);
        if (length != rest.Length - BinHeaderLength)
            throw new CompressionException($"Compressed span: the payload claims {length} bytes and has {rest.Length - BinHeaderLength}.");
        return rest[BinHeaderLength..];
    }
}
