using System.Buffers.Binary;
using System.IO.Hashing;

namespace Pipeline.Data;

/// <summary>
/// The first 128 bytes of a token file, little-endian: magic, version, bytes a token, token count, document count, text bytes,
/// vocabulary size, tokenizer hash, content hash, and a hash of the header itself in the last 16 bytes.
/// </summary>
internal sealed record TokenFileHeader
{
    public const int Size = 128;
    public const int CurrentVersion = 1;
    private const int HashOffset = Size - 16;

    private static ReadOnlySpan<byte> Magic => "PLTOKENS"u8;

    /// <summary>2 where every token fits into 16 bits, otherwise 4.</summary>
    public required int TokenBytes { get; init; }
    public required long TokenCount { get; init; }
    public required long DocumentCount { get; init; }
    public required long TextByteCount { get; init; }
    public required int VocabularySize { get; init; }
    public required UInt128 TokenizerHash { get; init; }
    public required UInt128 ContentHash { get; init; }

    /// <summary>Where the start of each document lies, as 64-bit token offsets, behind the tokens and padding to 8 bytes.</summary>
    public long DocumentTableOffset => (Size + (TokenCount * TokenBytes) + 7) / 8 * 8;

    public long FileLength => DocumentTableOffset + (DocumentCount * sizeof(long));

    public static int TokenBytesFor(int vocabularySize) => vocabularySize <= 1 << 16 ? 2 : 4;

    public void WriteTo(Span<byte> bytes)
    {
        bytes[..Size].Clear();
        Magic.CopyTo(bytes);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[8..], CurrentVersion);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[12..], TokenBytes);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[16..], TokenCount);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[24..], DocumentCount);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[32..], TextByteCount);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[40..], VocabularySize);
        BinaryPrimitives.WriteUInt128LittleEndian(bytes[48..], TokenizerHash);
        BinaryPrimitives.WriteUInt128LittleEndian(bytes[64..], ContentHash);
        BinaryPrimitives.WriteUInt128LittleEndian(bytes[HashOffset..], XxHash128.HashToUInt128(bytes[..HashOffset]));
    }

    /// <exception cref="DataException">The bytes are no header of this version, or were altered.</exception>
    public static TokenFileHeader Read(ReadOnlySpan<byte> bytes, string path)
    {
        if (bytes.Length < Size)
            throw Fault(path, $"is truncated: it has {bytes.Length} bytes, the header alone has {Size}");
        if (!bytes.StartsWith(Magic))
            throw Fault(path, "is no token file: its first bytes are not PLTOKENS");
        int version = BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]);
        if (version != CurrentVersion)
            throw Fault(path, $"has version {version}, version {CurrentVersion} is expected");
        if (BinaryPrimitives.ReadUInt128LittleEndian(bytes[HashOffset..]) != XxHash128.HashToUInt128(bytes[..HashOffset]))
            throw Fault(path, "is damaged: its header does not fit its hash");
        TokenFileHeader header = new()
        {
            TokenBytes = BinaryPrimitives.ReadInt32LittleEndian(bytes[12..]),
            TokenCount = BinaryPrimitives.ReadInt64LittleEndian(bytes[16..]),
            DocumentCount = BinaryPrimitives.ReadInt64LittleEndian(bytes[24..]),
            TextByteCount = BinaryPrimitives.ReadInt64LittleEndian(bytes[32..]),
            VocabularySize = BinaryPrimitives.ReadInt32LittleEndian(bytes[40..]),
            TokenizerHash = BinaryPrimitives.ReadUInt128LittleEndian(bytes[48..]),
            ContentHash = BinaryPrimitives.ReadUInt128LittleEndian(bytes[64..]),
        };
        if (header.TokenBytes is not (2 or 4) || header.TokenCount is < 0 or > 1L << 48 || header.DocumentCount is < 0 or > 1L << 48)
            throw Fault(path, $"is damaged: {header.TokenCount} tokens of {header.TokenBytes} bytes in {header.DocumentCount} documents cannot be");
        return header;
    }

    public static DataException Fault(string path, string what) =>
        new($"{path} {what}. Delete the folder it lies in and prepare the corpus again.");
}
