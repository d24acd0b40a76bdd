using System.Text.Json;

namespace Pipeline.Checkpoints;

/// <summary>
/// Reads a safetensors header from bytes that nobody vouches for. Whatever they are, the outcome is a header that is wholly consistent
/// with the file's length, or a <see cref="CheckpointException"/> that names the file and what is wrong.
/// </summary>
internal static class SafetensorsHeaderParser
{
    private static readonly JsonReaderOptions s_options = new() { MaxDepth = 4 };

    internal static SafetensorsHeader Parse(ReadOnlySpan<byte> json, long dataByteCount, string path)
    {
        try
        {
            var reader = new Utf8JsonReader(json, s_options);
            var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
            var entries = ReadEntries(ref reader, metadata, path);
            entries.Sort((a, b) => a.Start != b.Start ? a.Start.CompareTo(b.Start) : a.ByteCount.CompareTo(b.ByteCount));
            RequireContiguous(entries, dataByteCount, path);
            return new SafetensorsHeader(entries, metadata, SafetensorsHeader.LengthByteCount + json.Length);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // Utf8JsonReader reports bad syntax as the first and text that is not UTF-8 as the second.
            throw CheckpointException.Damaged(path, $"its header is not valid JSON ({exception.Message.TrimEnd('.')})");
        }
    }

    private static List<SafetensorsEntry> ReadEntries(ref Utf8JsonReader reader, Dictionary<string, string> metadata, string path)
    {
        var entries = new List<SafetensorsEntry>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        Expect(ref reader, JsonTokenType.StartObject, "the header", path);
        while (NextName(ref reader) is { } name)
        {
            if (!names.Add(name))
                throw CheckpointException.Damaged(path, $"'{name}' stands twice in its header");
            if (name == SafetensorsHeader.MetadataName)
                ReadMetadata(ref reader, metadata, path);
            else
                entries.Add(ReadEntry(ref reader, name, path));
            if (entries.Count > SafetensorsHeader.MaxEntryCount)
                throw CheckpointException.Damaged(path, $"it lists more than {SafetensorsHeader.MaxEntryCount} tensors");
        }

        // Reading on makes the reader complain about anything but white space after the header.
        if (reader.Read())
            throw CheckpointException.Damaged(path, "text follows its header");
        return entries;
    }

    private static void ReadMetadata(ref Utf8JsonReader reader, Dictionary<string, string> metadata, string path)
    {
        Expect(ref reader, JsonTokenType.StartObject, SafetensorsHeader.MetadataName, path);
        while (NextName(ref reader) is { } key)
        {
            Expect(ref reader, JsonTokenType.String, $"the metadata '{key}'", path);
            if (!metadata.TryAdd(key, reader.GetString()!))
                throw CheckpointException.Damaged(path, $"the metadata '{key}' stands twice in its header");
        }
    }

    private static SafetensorsEntry ReadEntry(ref Utf8JsonReader reader, string name, string path)
    {
        string? dtype = null;
        List<long>? shape = null, offsets = null;
        Expect(ref reader, JsonTokenType.StartObject, $"tensor '{name}'", path);
        while (NextName(ref reader) is { } field)
        {
            if (field == "dtype" && dtype is null)
            {
                Expect(ref reader, JsonTokenType.String, $"dtype of tensor '{name}'", path);
                dtype = reader.GetString();
            }
            else if (field == "shape" && shape is null)
                shape = ReadNumbers(ref reader, name, field, path);
            else if (field == "data_offsets" && offsets is null)
                offsets = ReadNumbers(ref reader, name, field, path);
            else
                throw CheckpointException.Damaged(path, $"tensor '{name}' has an unknown or repeated field '{field}'");
        }

        if (dtype is null || shape is null || offsets is not { Count: 2 })
            throw CheckpointException.Damaged(path, $"tensor '{name}' needs dtype, shape and two data_offsets");
        return Checked(name, dtype, shape, offsets[0], offsets[1], path);
    }

    private static SafetensorsEntry Checked(string name, string dtype, List<long> shape, long start, long end, string path)
    {
        if (!TensorTypes.IsKnown(dtype))
            throw CheckpointException.Damaged(path, $"tensor '{name}' has the unknown dtype '{dtype}'");
        if (!TensorTypes.TryByteCount(TensorTypes.ElementByteCount(dtype), shape, out var byteCount))
            throw CheckpointException.Damaged(path, $"the shape [{string.Join(", ", shape)}] of tensor '{name}' is impossible");
        if (start < 0 || end < start || end - start != byteCount)
            throw CheckpointException.Damaged(path, $"tensor '{name}' ({dtype} [{string.Join(", ", shape)}]) needs {byteCount} bytes, its data_offsets are {start} to {end}");
        return new SafetensorsEntry(name, dtype, shape, start, byteCount);
    }

    private static List<long> ReadNumbers(ref Utf8JsonReader reader, string name, string field, string path)
    {
        var numbers = new List<long>();
        Expect(ref reader, JsonTokenType.StartArray, $"{field} of tensor '{name}'", path);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var number) || number < 0)
                throw CheckpointException.Damaged(path, $"{field} of tensor '{name}' holds something that is not a count of 63 bits");
            if (numbers.Count == TensorTypes.MaxDimensionCount)
                throw CheckpointException.Damaged(path, $"{field} of tensor '{name}' has more than {TensorTypes.MaxDimensionCount} numbers");
            numbers.Add(number);
        }

        return numbers;
    }

    private static void RequireContiguous(List<SafetensorsEntry> entries, long dataByteCount, string path)
    {
        long end = 0;
        foreach (var entry in entries)
        {
            if (entry.Start != end)
                throw CheckpointException.Damaged(path, $"tensor '{entry.Name}' begins at data byte {entry.Start}, expected {end}: there is {(entry.Start < end ? "an overlap" : "a gap")}");
            // Cannot overflow: start equals a sum that has not passed the file's length.
            if (entry.ByteCount > dataByteCount - end)
                throw CheckpointException.Damaged(path, $"tensor '{entry.Name}' ends past the file: {dataByteCount} data bytes are there, {(Int128)end + entry.ByteCount} are needed; the file is cut off");
            end += entry.ByteCount;
        }

        if (end != dataByteCount)
            throw CheckpointException.Damaged(path, $"its tensors take {end} bytes, {dataByteCount} follow the header");
    }

    private static string? NextName(ref Utf8JsonReader reader) =>
        reader.Read() && reader.TokenType == JsonTokenType.PropertyName ? reader.GetString() : null;

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type, string what, string path)
    {
        if (!reader.Read() || reader.TokenType != type)
            throw CheckpointException.Damaged(path, $"{what} should be a {type}, found {reader.TokenType}");
    }
}
