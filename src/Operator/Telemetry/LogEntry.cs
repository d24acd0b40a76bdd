using System.Collections;

namespace Pipeline.Operator;

/// <summary>An entry of a run's log; to whoever collects logs its fields are values by name.</summary>
/// <param name="Event">Name of the event, words joined by dashes.</param>
/// <param name="Run">Name of the run.</param>
/// <param name="Generation">Number of the assignment.</param>
/// <param name="Step">Step.</param>
/// <param name="Rank">Rank, where one is meant.</param>
/// <param name="Message">A sentence.</param>
internal sealed record LogEntry(string Event, string Run, int Generation, long Step, int? Rank, string Message) : IReadOnlyList<KeyValuePair<string, object?>>
{
    private IReadOnlyList<KeyValuePair<string, object?>> Fields =>
    [
        new("run", Run), new("generation", Generation), new("step", Step), .. Rank is { } rank ? [new("rank", rank)] : Array.Empty<KeyValuePair<string, object?>>(), new("message", Message),
    ];

    /// <inheritdoc/>
    public int Count => Fields.Count;

    /// <inheritdoc/>
    public KeyValuePair<string, object?> this[int index] => Fields[index];

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, object?>> GetEnumerator() => Fields.GetEnumerator();

    /// <inheritdoc/>
    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
