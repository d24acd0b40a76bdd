using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace Pipeline.Data;

/// <summary>
/// Writes a token file beside its final place and renames it when it is complete and on disk, so that nobody ever opens half a file.
/// Disposing before <see cref="Complete"/> removes what was written.
/// </summary>
public sealed class TokenFileWriter : IDisposable
{
    private readonly string _path;
    private readonly string _pathAside;
    private readonly FileStream _stream;
    private readonly XxHash128 _hash = new();
    private readonly List<long> _documentStarts = [];
    private readonly ITokenizer _tokenizer;
    private readonly int _tokenBytes;
    private byte[] _buffer = [];
    private bool _isComplete;

    public TokenFileWriter(string path, ITokenizer tokenizer)
    {
        _path = path;
        _pathAside = $"{path}.{Guid.NewGuid():N}.tmp";
        _tokenizer = tokenizer;
        _tokenBytes = TokenFileHeader.TokenBytesFor(tokenizer.VocabularySize);
        _stream = new FileStream(_pathAside, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1 << 16);
        _stream.Write(new byte[TokenFileHeader.Size]);
    }

    public long TokenCount { get; private set; }

    public long TextByteCount { get; private set; }

    /// <summary>Adds a document; the end of text goes before each but the first.</summary>
    /// <param name="tokens">The document's own tokens.</param>
    public void AddDocument(ReadOnlySpan<int> tokens)
    {
        if (_documentStarts.Count > 0)
            Append([_tokenizer.EndOfText]);
        _documentStarts.Add(TokenCount);
        Append(tokens);
        foreach (int token in tokens)
            TextByteCount += _tokenizer.BytesOf(token).Length;
    }

    /// <summary>Writes the table of documents and the header, flushes to disk and renames.</summary>
    public void Complete()
    {
        TokenFileHeader header = new()
        {
            TokenBytes = _tokenBytes,
            TokenCount = TokenCount,
            DocumentCount = _documentStarts.Count,
            TextByteCount = TextByteCount,
            VocabularySize = _tokenizer.VocabularySize,
            TokenizerHash = UInt128.Parse(_tokenizer.Hash, System.Globalization.NumberStyles.HexNumber, provider: null),
            ContentHash = default,
        };
        Write(new byte[header.DocumentTableOffset - _stream.Position]);
        Write(MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(_documentStarts)));
        byte[] headerBytes = new byte[TokenFileHeader.Size];
        (header with { ContentHash = _hash.GetCurrentHashAsUInt128() }).WriteTo(headerBytes);
        _stream.Position = 0;
        _stream.Write(headerBytes);
        _stream.Flush(flushToDisk: true);
        _stream.Dispose();
        File.Move(_pathAside, _path, overwrite: true);
        _isComplete = true;
    }

    public void Dispose()
    {
        _stream.Dispose();
        if (!_isComplete)
            File.Delete(_pathAside);
    }

    private void Append(ReadOnlySpan<int> tokens)
    {
        if (_buffer.Length < tokens.Length * _tokenBytes)
            _buffer = new byte[tokens.Length * _tokenBytes];
        Span<byte> bytes = _buffer.AsSpan(0, tokens.Length * _tokenBytes);
        if (_tokenBytes == 2)
        {
            Span<ushort> narrow = MemoryMarshal.Cast<byte, ushort>(bytes);
            for (int i = 0; i < tokens.Length; i++)
                narrow[i] = checked((ushort)tokens[i]);
        }
        else
        {
            MemoryMarshal.AsBytes(tokens).CopyTo(bytes);
        }
        Write(bytes);
        TokenCount += tokens.Length;
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        _hash.Append(bytes);
        _stream.Write(bytes);
    }
}
