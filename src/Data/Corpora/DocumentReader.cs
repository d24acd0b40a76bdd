using System.Text;
using System.Text.Json;

namespace Pipeline.Data;

/// <summary>Cuts files into documents, in order, one file in memory at most. Pieces of nothing but white space are no documents.</summary>
internal static class DocumentReader
{
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static IEnumerable<Document> Read(IReadOnlyList<CorpusFile> files, string textField)
    {
        HashSet<string> linesSeen = new(StringComparer.Ordinal);
        return files.SelectMany(file => file.Kind switch
        {
            CorpusFileKind.WholeText => ReadWhole(file),
            CorpusFileKind.BlankLineSeparated => ReadPieces(file),
            CorpusFileKind.JsonLines => ReadJsonLines(file, textField),
            CorpusFileKind.ReferenceDocumentation => ReferenceDocumentationText.Read(file, linesSeen),
            _ => throw new System.Diagnostics.UnreachableException($"{file.Kind} is no kind of corpus file."),
        });
    }

    private static IEnumerable<Document> ReadWhole(CorpusFile file)
    {
        string text = string.Join('\n', ReadLines(file));
        return string.IsNullOrWhiteSpace(text) ? [] : [new Document(file.Name, text)];
    }

    private static IEnumerable<Document> ReadPieces(CorpusFile file)
    {
        StringBuilder piece = new();
        int pieceCount = 0;
        foreach (string line in ReadLines(file).Append(""))
        {
            if (!string.IsNullOrWhiteSpace(line))
            {
                if (piece.Length > 0)
                    piece.Append('\n');
                piece.Append(line);
            }
            else if (piece.Length > 0)
            {
                pieceCount++;
                yield return new Document($"{file.Name}#{pieceCount}", piece.ToString());
                piece.Clear();
            }
        }
    }

    private static IEnumerable<Document> ReadJsonLines(CorpusFile file, string textField)
    {
        int lineNumber = 0;
        foreach (string line in ReadLines(file))
        {
            lineNumber++;
            if (string.IsNullOrWhiteSpace(line))
                continue;
            string text = TextOf(line, textField, $"{file.Path}, line {lineNumber}");
            if (!string.IsNullOrWhiteSpace(text))
                yield return new Document($"{file.Name}:{lineNumber}", text);
        }
    }

    private static string TextOf(string line, string textField, string place)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(line);
            if (json.RootElement.ValueKind != JsonValueKind.Object)
                throw new DataException($"{place}: a JSON object is expected, found {json.RootElement.ValueKind}.");
            if (!json.RootElement.TryGetProperty(textField, out JsonElement value))
            {
                string fields = string.Join(", ", json.RootElement.EnumerateObject().Select(field => field.Name).Take(10));
                throw new DataException($"{place}: the object has no field \"{textField}\"; its fields are: {fields}. Name the field with pipeline.data.text-field.");
            }
            return value.ValueKind == JsonValueKind.String
                ? value.GetString() ?? ""
                : throw new DataException($"{place}: the field \"{textField}\" holds {value.ValueKind}, a string is expected.");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new DataException($"{place} is no valid JSON: {e.Message} One whole JSON object a line is expected.", e);
        }
    }

    private static IEnumerable<string> ReadLines(CorpusFile file)
    {
        using StreamReader reader = OpenText(file);
        while (ReadLine(reader, file) is { } line)
            yield return line;
    }

    private static StreamReader OpenText(CorpusFile file)
    {
        try
        {
            return new StreamReader(file.Path, StrictUtf8, detectEncodingFromByteOrderMarks: true, bufferSize: 1 << 16);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Changed(file, e);
        }
    }

    private static string? ReadLine(StreamReader reader, CorpusFile file)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (Exception e) when (e is IOException or DecoderFallbackException)
        {
            throw Changed(file, e);
        }
    }

    // The corpus was read through and found to be text when it was opened.
    private static DataException Changed(CorpusFile file, Exception e) =>
        new($"{file.Path} changed while it was read: {e.Message} Leave the corpus alone while it is prepared, and start again.", e);
}
