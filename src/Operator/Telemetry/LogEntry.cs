using System.Collections;

namespace Pipeline.Operator;

/// <summary>An entry of a log; to whoever collects logs its fields are values by name. What is not known is left out.</summary>
/// <param name="Event">Name of the event, words joined by dashes.</param>
/// <param name="Run">Name of the run; empty for none.</param>
/// <param name="Generation">Number of the assignment.</param>
/// <param name="Step">Step.</param>
/// <param name="Rank">Rank, where one is meant.</param>
/// <param name="Message">A sentence.</param>
internal sealed record LogEntry(string Event, string Run, int? Generation, long? Step, int? Rank, string Message) : IReadOnlyList<KeyValuePair<string, object?>>
{
    /// <summary>Name of the node that says it; null where the run itself does.</summary>
    public string? Node { get; init; }

    private IReadOnlyList<KeyValuePair<string, object?>> Fields =>
    [
        .. new KeyValuePair<string, object?>[] { new("node", Node), new("run", Run.Length > 0 ? Run : null), new("generation", Generation), new("step", Step), new("rank", Rank) }
            .Where(known => known.Value is not null),
        new KeyValuePair<string, object?>("message", Message),
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
