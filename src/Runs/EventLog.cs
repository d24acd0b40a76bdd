using System.Globalization;
using System.Text.Json;

namespace Pipeline.Runs;

/// <summary>How much an event matters to whoever watches the run.</summary>
public enum EventSeverity
{
    /// <summary>As expected.</summary>
    Information,

    /// <summary>The run goes on, but somebody should look.</summary>
    Warning,

    /// <summary>Something failed.</summary>
    Error,
}

/// <summary>A named value of an event.</summary>
public sealed record EventField
{
    private readonly Action<Utf8JsonWriter> _write;

    private EventField(string name, Action<Utf8JsonWriter> write)
    {
        Name = name;
        _write = write;
    }

    /// <summary>Its name in the line.</summary>
    public string Name { get; }

    public static EventField Of(string name, string? value) => new(name, json => json.WriteString(name, value));

    public static EventField Of(string name, long value) => new(name, json => json.WriteNumber(name, value));

    /// <summary>A value that is not finite becomes null.</summary>
    public static EventField Of(string name, double value) => new(name, json =>
    {
        if (double.IsFinite(value))
            json.WriteNumber(name, value);
        else
            json.WriteNull(name);
    });

    public static EventField Of(string name, bool value) => new(name, json => json.WriteBoolean(name, value));

    internal void Write(Utf8JsonWriter json) => _write(json);
}

/// <summary>An event as it was written.</summary>
/// <param name="Time">When.</param>
/// <param name="Name">Its name.</param>
/// <param name="Fields">Its own fields as text; null is the empty text.</param>
public sealed record RecordedEvent(DateTimeOffset Time, string Name, IReadOnlyDictionary<string, string> Fields);

/// <summary>
/// <c>events.jsonl</c>: faults, recoveries, commands and the audit of a run, a line each with <c>time</c>, <c>event</c>, <c>severity</c>
/// and fields. Text is escaped to printable ASCII, so that no name from outside can forge a line or drive a terminal. Safe for many threads.
/// </summary>
public sealed class EventLog : IDisposable
{
    private static readonly string[] s_reserved = ["time", "event", "severity"];

    private readonly JsonLinesWriter _lines;
    private readonly TimeProvider _time;

    private EventLog(JsonLinesWriter lines, TimeProvider time)
    {
        _lines = lines;
        _time = time;
    }

    /// <summary>Opens the file; a resumed run appends to what is there, since what happened has happened.</summary>
    /// <exception cref="RunException">It cannot be written, or is damaged before its last line.</exception>
    public static EventLog Open(string path, TimeProvider time) => new(JsonLinesWriter.Append(path), time);

    /// <summary>Goes on in a copy of the file, out of reach of whoever has it open.</summary>
    /// <exception cref="RunException">It cannot be written, or is damaged before its last line.</exception>
    public static EventLog TakeOver(string path, TimeProvider time) => new(JsonLinesWriter.TakeOver(path, static _ => true), time);

    /// <summary>Whether a file has an event of a name; one that is not there has none.</summary>
    /// <exception cref="RunException">It is damaged before its last line.</exception>
    public static bool Holds(string path, string name) =>
        File.Exists(path) && JsonLinesReader.Read(path).Any(line => line.Object.TryGetProperty("event", out var found) && found.ValueEquals(name));

    /// <summary>All events in order, also while more are written. A torn last line is left out.</summary>
    /// <exception cref="RunException">The file cannot be read or is damaged.</exception>
    public static IEnumerable<RecordedEvent> Read(string path)
    {
        foreach (var (number, line) in JsonLinesReader.Read(path))
        {
            if (!line.TryGetProperty("event", out var name) || !line.TryGetProperty("time", out var time) || !DateTimeOffset.TryParse(time.GetString(), CultureInfo.InvariantCulture, out var when))
                throw JsonLinesReader.Damaged(path, number, "it is no event");
            var fields = line.EnumerateObject().Where(field => !s_reserved.Contains(field.Name)).ToDictionary(field => field.Name, field => field.Value.ToString(), StringComparer.Ordinal);
            yield return new RecordedEvent(when, name.GetString() ?? "", fields);
        }
    }

    /// <summary>Writes an event.</summary>
    /// <param name="name">Past tense, words joined by dashes, such as <c>checkpoint-saved</c>.</param>
    /// <param name="severity">How much it matters.</param>
    /// <param name="fields">Their names differ from each other and from <c>time</c>, <c>event</c>, <c>severity</c>.</param>
    /// <exception cref="ArgumentException">A field's name is reserved or used twice.</exception>
    /// <exception cref="RunException">The line cannot be written.</exception>
    public void Write(string name, EventSeverity severity, params IReadOnlyList<EventField> fields)
    {
        var names = new HashSet<string>(s_reserved, StringComparer.Ordinal);
        foreach (var field in fields)
        {
            if (!names.Add(field.Name))
                throw new ArgumentException($"The field name '{field.Name}' of the event '{name}' is reserved or used twice.", nameof(fields));
        }

        _lines.Write(json =>
        {
            json.WriteString("time", _time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
            json.WriteString("event", name);
            json.WriteString("severity", SeverityText(severity));
            foreach (var field in fields)
                field.Write(json);
        });
    }

    /// <inheritdoc/>
    public void Dispose() => _lines.Dispose();

    private static string SeverityText(EventSeverity severity) => severity switch
    {
        EventSeverity.Information => "information",
        EventSeverity.Warning => "warning",
        EventSeverity.Error => "error",
        _ => throw new ArgumentOutOfRangeException(nameof(severity), severity, null),
    };
}
