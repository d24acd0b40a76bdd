using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>Form of a log entry.</summary>
public enum LogFormat
{
    /// <summary>A line for people.</summary>
    Text,

    /// <summary>A JSON object a line.</summary>
    Json,
}

/// <summary>Log entries as lines, of text or of JSON; where these go is another's business. Safe for many threads where that is.</summary>
/// <param name="format">Form of a line.</param>
/// <param name="time">Clock.</param>
internal abstract class LineLog(LogFormat format, TimeProvider time) : ILoggerProvider
{
    private const int LongestMessage = 2000;

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => new Named(this, categoryName);

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>Takes a line.</summary>
    protected abstract void Write(string line);

    private string Line(string category, LogLevel level, string name, IEnumerable<KeyValuePair<string, object?>> fields)
    {
        var now = time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
        var word = level.ToString().ToLowerInvariant();
        return format == LogFormat.Json ? Json(category, now, word, name, fields) : Text(now, word, name, fields);
    }

    private static string Text(string now, string level, string name, IEnumerable<KeyValuePair<string, object?>> fields)
    {
        StringBuilder line = new($"{now} {level,-11} {SafeText.Of(name)}");
        foreach (var (key, value) in fields.Where(field => field.Key != "message")) line.Append(CultureInfo.InvariantCulture, $" {key}={SafeText.Of(Written(value))}");
        foreach (var (_, message) in fields.Where(field => field.Key == "message")) line.Append("  ").Append(SafeText.Of(Written(message), LongestMessage));
        return line.ToString();
    }

    private static string Json(string category, string now, string level, string name, IEnumerable<KeyValuePair<string, object?>> fields)
    {
        using MemoryStream bytes = new();
        using (Utf8JsonWriter json = new(bytes))
        {
            json.WriteStartObject();
            json.WriteString("time", now);
            json.WriteString("level", level);
            json.WriteString("category", category);
            json.WriteString("event", name);
            foreach (var (key, value) in fields)
            {
                if (value is int or long) json.WriteNumber(key, Convert.ToInt64(value, CultureInfo.InvariantCulture));
                else json.WriteString(key, Written(value));
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(bytes.ToArray());
    }

    private static string Written(object? value) => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";

    /// <summary>The logger of a category.</summary>
    private sealed class Named(LineLog log, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            IEnumerable<KeyValuePair<string, object?>> fields = state is LogEntry entry ? entry : [new("message", formatter(state, exception))];
            log.Write(log.Line(category, logLevel, eventId.Name ?? "log", fields));
        }
    }
}
