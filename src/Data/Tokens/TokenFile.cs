using System.IO.Hashing;
using System.IO.MemoryMappedFiles;

namespace Pipeline.Data;

/// <summary>
/// The tokens of a set of documents, memory-mapped: documents in order, the end of text between them. Reading is safe from many
/// threads at once, until it is disposed. Written by <see cref="TokenFileWriter"/>, on little-endian machines.
/// </summary>
public sealed unsafe class TokenFile : IDisposable
{
    private readonly TokenFileHeader _header;
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private byte* _start;

    private TokenFile(string path, TokenFileHeader header, MemoryMappedFile map)
    {
        FilePath = path;
        _header = header;
        _map = map;
        _view = map.CreateViewAccessor(0, header.FileLength, MemoryMappedFileAccess.Read);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
        _start += _view.PointerOffset;
    }

    public string FilePath { get; }

    public long TokenCount => _header.TokenCount;

    public long DocumentCount => _header.DocumentCount;

    /// <summary>UTF-8 bytes of the documents' text; the end of text between them counts none.</summary>
    public long TextByteCount => _header.TextByteCount;

    /// <summary>Bytes that a token in the file takes: 2 or 4.</summary>
    public int TokenBytes => _header.TokenBytes;

    public int VocabularySize => _header.VocabularySize;

    /// <summary><see cref="ITokenizer.Hash"/> of the tokenizer that made it.</summary>
    public string TokenizerHash => _header.TokenizerHash.ToString("x32", provider: null);

    /// <summary>XxHash128 of tokens and document starts, 32 hexadecimal digits.</summary>
    public string ContentHash => _header.ContentHash.ToString("x32", provider: null);

    /// <exception cref="DataException">The file is missing, truncated, of another version, or its length does not fit its header.</exception>
    public static TokenFile Open(string path)
    {
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
            Span<byte> bytes = stackalloc byte[TokenFileHeader.Size];
            int readCount = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            TokenFileHeader header = TokenFileHeader.Read(bytes[..readCount], path);
            if (stream.Length != header.FileLength)
                throw TokenFileHeader.Fault(path, $"has {stream.Length} bytes, its header promises {header.FileLength}");
            MemoryMappedFile map = MemoryMappedFile.CreateFromFile(stream, mapName: null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            return new TokenFile(path, header, map);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"The token file {path} cannot be opened: {e.Message} Prepare the corpus again.", e);
        }
    }

    /// <summary>Fills <paramref name="tokens"/> with the tokens from <paramref name="offset"/> on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There are not so many.</exception>
    public void Read(long offset, Span<int> tokens)
    {
        byte* source = Locate(offset, tokens.Length);
        if (TokenBytes == 4)
        {
            new ReadOnlySpan<int>(source, tokens.Length).CopyTo(tokens);
            return;
        }
        ReadOnlySpan<ushort> narrow = new(source, tokens.Length);
        for (int i = 0; i < narrow.Length; i++)
            tokens[i] = narrow[i];
    }

    /// <inheritdoc cref="Read(long, Span{int})"/>
    public void Read(long offset, Span<long> tokens)
    {
        byte* source = Locate(offset, tokens.Length);
        if (TokenBytes == 4)
        {
            ReadOnlySpan<int> wide = new(source, tokens.Length);
            for (int i = 0; i < wide.Length; i++)
                tokens[i] = wide[i];
            return;
        }
        ReadOnlySpan<ushort> narrow = new(source, tokens.Length);
        for (int i = 0; i < narrow.Length; i++)
            tokens[i] = narrow[i];
    }

    /// <summary>The offset of a document's first token.</summary>
    public long DocumentStart(long documentIndex)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(documentIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(documentIndex, DocumentCount);
        ObjectDisposedException.ThrowIf(_start is null, this);
        return ((long*)(_start + _header.DocumentTableOffset))[documentIndex];
    }

    /// <summary>Reads all of the file and checks it against its hash.</summary>
    /// <exception cref="DataException">A byte was altered.</exception>
    public void Verify(CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_start is null, this);
        const int ChunkBytes = 1 << 24;
        XxHash128 hash = new();
        for (long offset = TokenFileHeader.Size; offset < _header.FileLength; offset += ChunkBytes)
        {
            cancellationToken.ThrowIfCancellationRequested();
            hash.Append(new ReadOnlySpan<byte>(_start + offset, (int)Math.Min(ChunkBytes, _header.FileLength - offset)));
        }
        if (hash.GetCurrentHashAsUInt128() != _header.ContentHash)
            throw TokenFileHeader.Fault(FilePath, "is damaged: its tokens do not fit their hash");
    }

    public void Dispose()
    {
        if (_start is null)
            return;
        _start = null;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map.Dispose();
    }

    private byte* Locate(long offset, int count)
    {
        ObjectDisposedException.ThrowIf(_start is null, this);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, TokenCount - count);
        return _start + TokenFileHeader.Size + (offset * TokenBytes);
    }
}
