using System.Buffers.Binary;

namespace Pipeline.Protocol.Links;

/// <summary>What follows a prefix on a connection that passed its handshake.</summary>
internal enum LinkRecordKind : byte
{
    /// <summary>A tensor frame: header, then block. From the sender.</summary>
    Frame = 1,

    /// <summary>Nothing; the other end answers with a <see cref="Receipt"/>. From the sender.</summary>
    Ping = 2,

    /// <summary>The link is over. From the sender.</summary>
    Farewell = 3,

    /// <summary>What was received and what was consumed so far. From the receiver.</summary>
    Receipt = 4,

    /// <summary>The receiver ends the connection and says why.</summary>
    Rejection = 5,
}

/// <summary>
/// Sixteen or twenty-four bytes before everything on a connection, little-endian: kind, three zeros, a small number, a large one, and for a
/// receipt one more large one. Fixed, so that a reader knows what to wait for; all that varies in length is MessagePack.
/// </summary>
/// <param name="Kind">What follows.</param>
/// <param name="Small">Frame: length of the header. Rejection: the <see cref="LinkVerdict"/>.</param>
/// <param name="Large">Frame: its number. Receipt: number of the last frame received. Rejection: the generation.</param>
internal readonly record struct LinkRecord(LinkRecordKind Kind, uint Small, ulong Large)
{
    /// <summary>Bytes of a prefix.</summary>
    internal const int Length = 16;

    /// <summary>Bytes of a receipt: prefix and the credits consumed so far.</summary>
    internal const int ReceiptLength = Length + sizeof(long);

    /// <summary>Writes the prefix.</summary>
    internal void Write(Span<byte> place)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(place, (uint)Kind);
        BinaryPrimitives.WriteUInt32LittleEndian(place[4..], Small);
        BinaryPrimitives.WriteUInt64LittleEndian(place[8..], Large);
    }

    /// <summary>Reads a prefix.</summary>
    /// <exception cref="LinkProtocolException">It is none.</exception>
    internal static LinkRecord Read(ReadOnlySpan<byte> place)
    {
        var kind = BinaryPrimitives.ReadUInt32LittleEndian(place);
        if (kind is < (uint)LinkRecordKind.Frame or > (uint)LinkRecordKind.Rejection)
            throw new LinkProtocolException($"Expected a record of the link, found 0x{kind:x8}.");
        return new LinkRecord((LinkRecordKind)kind, BinaryPrimitives.ReadUInt32LittleEndian(place[4..]), BinaryPrimitives.ReadUInt64LittleEndian(place[8..]));
    }
}

/// <summary>The other end of a connection sent what the protocol does not know or allow at this place.</summary>
internal sealed class LinkProtocolException(string message, Exception? cause = null) : Exception(message, cause);
