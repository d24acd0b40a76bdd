using System.Buffers;
using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Pipeline.Checkpoints;

/// <summary>
/// Writes a safetensors file in one pass, hashing as it goes. The data begins at a multiple of 64 bytes (the header is padded with spaces,
/// as the format allows) and tensors whose size is a multiple of 64 bytes come first, so each of those is aligned to 64;
/// the others follow by falling element size, so each is aligned to its element. The format allows no gaps between tensors.
/// </summary>
public sealed class SafetensorsWriter
{
    private const int Alignment = 64;
    private const int ChunkByteCount = 1 << 20;

    // Nothing here reaches a browser; names stay readable.
    private static readonly JsonWriterOptions s_options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly TensorSource[] _ordered;
    private readonly byte[] _header;

    /// <summary>Lays the file out; nothing is read from the sources yet.</summary>
    /// <exception cref="ArgumentException">Two tensors share a name, a name is reserved, or a shape or type is impossible.</exception>
    /// <exception cref="CheckpointException">The header would pass the format's bound of 100 MB.</exception>
    public SafetensorsWriter(IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        RequireDistinctNames(tensors);
        _ordered = [.. tensors.OrderBy(t => t.ByteCount % Alignment == 0 ? 0 : 1).ThenByDescending(t => t.ByteCount % Alignment == 0 ? 0 : TensorTypes.ElementByteCount(t.DType))];
        _header = Header(_ordered, metadata ?? new Dictionary<string, string>(StringComparer.Ordinal));
        ByteCount = _header.Length + _ordered.Sum(t => t.ByteCount);
    }

    /// <summary>Size of the whole file.</summary>
    public long ByteCount { get; }

    /// <summary>Writes the file and says what was written, hashes included.</summary>
    /// <param name="name">Name that the answer carries.</param>
    /// <param name="destination">Written from its present position; neither flushed nor closed.</param>
    public StoredFile WriteTo(string name, Stream destination)
    {
        var fileHash = new XxHash128();
        fileHash.Append(_header);
        destination.Write(_header);
        var buffer = ArrayPool<byte>.Shared.Rent(ChunkByteCount);
        try
        {
            var stored = new List<StoredTensor>(_ordered.Length);
            foreach (var tensor in _ordered)
                stored.Add(WriteTensor(tensor, destination, fileHash, buffer));
            return new StoredFile(name, ByteCount, ContentHash.Text(fileHash), stored);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static StoredTensor WriteTensor(TensorSource tensor, Stream destination, XxHash128 fileHash, byte[] buffer)
    {
        var tensorHash = new XxHash128();
        var byteCount = tensor.ByteCount;
        for (long offset = 0; offset < byteCount; offset += buffer.Length)
        {
            var chunk = buffer.AsSpan(0, (int)Math.Min(buffer.Length, byteCount - offset));
            tensor.CopyTo(offset, chunk);
            tensorHash.Append(chunk);
            fileHash.Append(chunk);
            destination.Write(chunk);
        }

        return new StoredTensor(tensor.Name, tensor.DType, [.. tensor.Shape], ContentHash.Text(tensorHash));
    }

    private static byte[] Header(TensorSource[] tensors, IReadOnlyDictionary<string, string> metadata)
    {
        var text = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(text, s_options))
        {
            json.WriteStartObject();
            WriteMetadata(json, metadata);
            long start = 0;
            foreach (var tensor in tensors)
                start = WriteEntry(json, tensor, start);
            json.WriteEndObject();
        }

        var end = SafetensorsHeader.LengthByteCount + text.WrittenCount;
        var padded = (end + Alignment - 1) / Alignment * Alignment;
        if (padded > SafetensorsHeader.MaxByteCount)
            throw new CheckpointException($"A safetensors header may have {SafetensorsHeader.MaxByteCount} bytes; {tensors.Length} tensors need {padded}. Spread them over more files.");
        var header = new byte[padded];
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)(padded - SafetensorsHeader.LengthByteCount));
        text.WrittenSpan.CopyTo(header.AsSpan(SafetensorsHeader.LengthByteCount));
        header.AsSpan(end).Fill((byte)' ');
        return header;
    }

    private static void WriteMetadata(Utf8JsonWriter json, IReadOnlyDictionary<string, string> metadata)
    {
        if (metadata.Count == 0)
            return;
        json.WriteStartObject(SafetensorsHeader.MetadataName);
        foreach (var (key, value) in metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            json.WriteString(key, value);
        json.WriteEndObject();
    }

    private static long WriteEntry(Utf8JsonWriter json, TensorSource tensor, long start)
    {
        var end = checked(start + tensor.ByteCount);
        json.WriteStartObject(tensor.Name);
        json.WriteString("dtype", tensor.DType);
        json.WriteStartArray("shape");
        foreach (var size in tensor.Shape)
            json.WriteNumberValue(size);
        json.WriteEndArray();
        json.WriteStartArray("data_offsets");
        json.WriteNumberValue(start);
        json.WriteNumberValue(end);
        json.WriteEndArray();
        json.WriteEndObject();
        return end;
    }

    private static void RequireDistinctNames(IReadOnlyList<TensorSource> tensors)
    {
        var names = new HashSet<string>(StringComparer.Ordinal) { SafetensorsHeader.MetadataName };
        foreach (var tensor in tensors)
        {
            if (!names.Add(tensor.Name))
                throw new ArgumentException($"The tensor name '{tensor.Name}' is used twice or reserved by the format.", nameof(tensors));
        }
    }
}
