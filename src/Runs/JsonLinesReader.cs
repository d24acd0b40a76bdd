using System.Text;
using System.Text.Json;

namespace Pipeline.Runs;

/// <summary>
/// Reads a file of JSON objects, one a line, also while it is written. A last line that is torn is left out, since a killed process may
/// leave one; a damaged line before it means that the file was altered, and is an error that names the line.
/// </summary>
internal static class JsonLinesReader
{
    /// <summary>The objects in order; each is valid until the next is asked for.</summary>
    internal static IEnumerable<(int LineNumber, JsonElement Object)> Read(string path)
    {
        int? tornLine = null;
        foreach (var (number, text, _) in Lines(path))
        {
            if (tornLine is { } damagedLine)
                throw Damaged(path, damagedLine, "it is not a JSON object");
            using var document = Parse(text);
            if (document is null)
                tornLine = number;
            else
                yield return (number, document.RootElement);
        }
    }

    internal static bool NeedsRewriting(string path, Func<JsonElement, bool> keep)
    {
        var keptCount = 0;
        foreach (var (_, element) in Read(path))
        {
            if (!keep(element))
                return RequireReadable(path);
            keptCount++;
        }

        return Lines(path).Skip(keptCount).Any() || Lines(path).Any(line => !line.IsTerminated);
    }

    internal static void CopyKept(string path, Func<JsonElement, bool> keep, Stream destination)
    {
        foreach (var (_, element) in Read(path))
        {
            if (keep(element))
                destination.Write(Encoding.UTF8.GetBytes(element.GetRawText() + "\n"));
        }
    }

    internal static RunException Damaged(string path, int lineNumber, string problem) =>
        new($"{path} is damaged in line {lineNumber}: {problem}. Restore the file, or remove the lines from there on.");

    private static bool RequireReadable(string path)
    {
        foreach (var _ in Read(path))
        {
            // Reading to the end finds damage before anything is rewritten.
        }

        return true;
    }

    private static JsonDocument? Parse(string line)
    {
        try
        {
            var document = JsonDocument.Parse(line);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return document;
            document.Dispose();
            return null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static IEnumerable<(int Number, string Text, bool IsTerminated)> Lines(string path)
    {
        using var reader = Open(path);
        var line = new StringBuilder();
        var number = 1;
        var buffer = new char[64 * 1024];
        for (int count; (count = reader.Read(buffer)) > 0;)
        {
            var rest = buffer.AsMemory(0, count);
            for (int end; (end = rest.Span.IndexOf('\n')) >= 0; rest = rest[(end + 1)..])
            {
                line.Append(rest.Span[..end]);
                yield return (number++, line.ToString(), true);
                line.Clear();
            }

            line.Append(rest.Span);
        }

        if (line.Length > 0)
            yield return (number, line.ToString(), false);
    }

    private static StreamReader Open(string path)
    {
        try
        {
            return new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete), Encoding.UTF8);
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw RunException.WhileReading(path, exception);
        }
    }
}
