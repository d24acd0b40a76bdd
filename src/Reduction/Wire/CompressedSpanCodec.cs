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

    /// <summary>Bytes of a span beside its payload.</summary>
    /// <param name="kind">How it is compressed.</param>
    /// <param name="elementCount">Elements.</param>
    public static int Overhead(CompressionKind kind, int elementCount) =>
        1 + MessagePackWriter.GetEncodedLength(Version) + MessagePackWriter.GetEncodedLength((int)kind) + MessagePackWriter.GetEncodedLength(elementCount) + BinHeaderLength;

    /// <summary>Begins a span: the payload is then written in its place, not copied.</summary>
    /// <param name="kind">What will write it.</param>
    /// <param name="elementCount">Elements that are compressed.</param>
    /// <param name="maxPayloadLength">Bytes that it may need.</param>
    public static Unfinished Begin(CompressionKind kind, int elementCount, int maxPayloadLength)
    {
        var header = new ArrayBufferWriter<byte>(16);
        var writer = new MessagePackWriter(header);
        writer.WriteArrayHeader(4);
        writer.Write(Version);
        writer.Write((int)kind);
        writer.Write(elementCount);
        writer.Flush();
        var bytes = GC.AllocateUninitializedArray<byte>(checked(header.WrittenCount + BinHeaderLength + maxPayloadLength));
        header.WrittenSpan.CopyTo(bytes);
        bytes[header.WrittenCount] = Bin32;
        return new Unfinished(bytes, header.WrittenCount + BinHeaderLength);
    }

    /// <summary>Reads a span; its payload is a slice of the bytes.</summary>
    /// <param name="bytes">What arrived.</param>
    /// <param name="kind">The kind that is awaited.</param>
    /// <param name="elementCount">The number of elements that is awaited.</param>
    /// <exception cref="CompressionException">It is not a span, or not the one awaited.</exception>
    public static CompressedSpan Decode(ReadOnlyMemory<byte> bytes, CompressionKind kind, int elementCount)
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

    private static CompressedSpan Read(ReadOnlyMemory<byte> bytes, CompressionKind kind, int elementCount)
    {
        var reader = new MessagePackReader(bytes);
        if (reader.ReadArrayHeader() != 4) throw new CompressionException("Compressed span: expected 4 fields.");
        var version = reader.ReadInt32();
        if (version != Version) throw new CompressionException($"Compressed span: version {version} is not known; this build reads {Version}.");
        var (foundKind, foundCount) = ((CompressionKind)reader.ReadInt32(), reader.ReadInt32());
        if (foundKind != kind || foundCount != elementCount)
            throw new CompressionException($"Compressed span: awaited are {elementCount} elements as {kind}, found are {foundCount} as {(int)foundKind}.");
        var rest = bytes[(int)reader.Consumed..];
        if (rest.Length < BinHeaderLength || rest.Span[0] != Bin32) throw new CompressionException("Compressed span: the payload is missing.");
        var length = BinaryPrimitives.ReadUInt32BigEndian(rest.Span[1..]);
        if (length != rest.Length - BinHeaderLength)
            throw new CompressionException($"Compressed span: the payload claims {length} bytes and has {rest.Length - BinHeaderLength}.");
        return new CompressedSpan(foundKind, foundCount, rest[BinHeaderLength..]);
    }

    /// <summary>A span whose payload is still to be written.</summary>
    public readonly struct Unfinished
    {
        private readonly byte[] _bytes;
        private readonly int _start;

        internal Unfinished(byte[] bytes, int start)
        {
            _bytes = bytes;
            _start = start;
        }

        /// <summary>Where the payload goes.</summary>
        public Span<byte> Payload => _bytes.AsSpan(_start);

        /// <summary>The whole, once so many bytes of payload are written.</summary>
        public ReadOnlyMemory<byte> End(int payloadLength)
        {
            BinaryPrimitives.WriteInt32BigEndian(_bytes.AsSpan(_start - sizeof(int)), payloadLength);
            return _bytes.AsMemory(0, _start + payloadLength);
        }
    }
}
