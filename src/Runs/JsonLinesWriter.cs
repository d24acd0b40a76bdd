using System.Buffers;
using System.Text.Json;

namespace Pipeline.Runs;

/// <summary>
/// Appends JSON objects to a file, one a line, each handed to the system whole and at once: whoever reads along sees complete lines,
/// and a killed process loses none. Safe for many threads.
/// </summary>
internal sealed class JsonLinesWriter : IDisposable
{
    private readonly Lock _gate = new();
    private readonly string _path;
    private readonly FileStream _stream;
    private readonly ArrayBufferWriter<byte> _line = new();
    private readonly Utf8JsonWriter _json;

    private JsonLinesWriter(string path, FileStream stream)
    {
        _path = path;
        _stream = stream;
        _json = new Utf8JsonWriter(_line);
    }

    /// <summary>Opens a file to append to it; a line that a crash has torn off at its end is removed first.</summary>
    /// <exception cref="RunException">The file cannot be written, or is damaged before its last line.</exception>
    internal static JsonLinesWriter Append(string path) => Resume(path, static _ => true);

    /// <summary>Opens a file to append to it, after dropping lines that will be written again.</summary>
    /// <exception cref="RunException">The file cannot be written, or is damaged before its last line; it is then left as it was.</exception>
    internal static JsonLinesWriter Resume(string path, Func<JsonElement, bool> keep)
    {
        if (File.Exists(path) && JsonLinesReader.NeedsRewriting(path, keep))
            AtomicFile.Write(path, stream => JsonLinesReader.CopyKept(path, keep, stream));
        try
        {
            // Unbuffered: one write per line.
            return new JsonLinesWriter(path, new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0));
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw RunException.WhileWriting(path, exception);
        }
    }

    /// <summary>
    /// Goes on in a copy of a file that another program may still hold open, after dropping lines that will be written again: what that
    /// one appends from now on goes into the former file, which nobody sees any longer.
    /// </summary>
    /// <exception cref="RunException">The file cannot be written, or is damaged before its last line.</exception>
    internal static JsonLinesWriter TakeOver(string path, Func<JsonElement, bool> keep)
    {
        if (File.Exists(path)) AtomicFile.Write(path, stream => JsonLinesReader.CopyKept(path, keep, stream));
        return Append(path);
    }

    /// <exception cref="RunException">The line cannot be written.</exception>
    internal void Write(Action<Utf8JsonWriter> writeFields)
    {
        lock (_gate)
        {
            _line.ResetWrittenCount();
            _json.Reset();
            _json.WriteStartObject();
            writeFields(_json);
            _json.WriteEndObject();
            _json.Flush();
            _line.Write("\n"u8);
            try
            {
                _stream.Write(_line.WrittenSpan);
            }
            catch (Exception exception) when (RunException.IsFileFault(exception))
            {
                throw RunException.WhileWriting(_path, exception);
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _json.Dispose();
            _stream.Dispose();
        }
    }
}
