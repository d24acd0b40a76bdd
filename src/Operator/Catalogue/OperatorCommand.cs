using System.Text.Json.Nodes;

namespace Pipeline.Operator;

/// <summary>One command of the catalogue: what it is called, what it teaches, what it does. The same for every way in.</summary>
/// <param name="Name">Its word.</param>
/// <param name="Arguments">What follows the word, for people.</param>
/// <param name="Summary">One sentence.</param>
public sealed record OperatorCommand(string Name, string Arguments, string Summary)
{
    /// <summary>What else there is to know, as a few sentences; empty for nothing.</summary>
    public string Detail { get; init; } = "";

    /// <summary>Lines to try, each with what it does.</summary>
    public IReadOnlyList<(string Line, string Purpose)> Examples { get; init; } = [];

    /// <summary>Flags that it takes beside <c>--yes</c> and <c>--json</c>, each with what it means.</summary>
    public IReadOnlyList<(string Name, string Meaning)> Flags { get; init; } = [];

    /// <summary>The least and the most arguments.</summary>
    public (int Least, int Most) ArgumentCount { get; init; }

    /// <summary>What the first, second, … argument may be, for completion.</summary>
    public IReadOnlyList<Completion> Completions { get; init; } = [];

    /// <summary>Whether it changes anything: such a command is written to the run's audit.</summary>
    public bool IsChange { get; init; }

    /// <summary>First arguments with which it only asks.</summary>
    public IReadOnlyList<string> QueryWords { get; init; } = [];

    /// <summary>What it will do, where somebody must agree first; null where nobody need be asked.</summary>
    public Func<CommandRequest, string>? Warning { get; init; }

    /// <summary>Carries it out.</summary>
    /// <exception cref="OperatorException">It cannot be done; the message is for the operator.</exception>
    public required Func<CommandRequest, Task<CommandAnswer>> Run { get; init; }

    /// <summary>Name and arguments.</summary>
    public string Usage => Arguments.Length > 0 ? $"{Name} {Arguments}" : Name;
}

/// <summary>What an argument may be.</summary>
public enum Completion
{
    /// <summary>Anything.</summary>
    Free,

    /// <summary>Name of a node that is there.</summary>
    Node,

    /// <summary>Number of a rank.</summary>
    Rank,

    /// <summary>Number of a rank, or name of a unit.</summary>
    RankOrUnit,

    /// <summary>A metric.</summary>
    Metric,

    /// <summary>A word of the catalogue.</summary>
    Command,

    /// <summary>What <c>set</c> may change.</summary>
    Setting,

    /// <summary>A word that the setting before it may be set to.</summary>
    SettingValue,

    /// <summary>now, ls, keep.</summary>
    CheckpointWord,

    /// <summary>start, stop.</summary>
    TraceWord,
}

/// <summary>A command as it is to be carried out.</summary>
/// <param name="Words">The line.</param>
/// <param name="Run">The run.</param>
/// <param name="Watch">What has been seen of it.</param>
/// <param name="Cancellation">Ends a wait.</param>
public sealed record CommandRequest(CommandWords Words, OperatedRun Run, RunWatch Watch, CancellationToken Cancellation)
{
    /// <summary>An argument; null where the line has fewer.</summary>
    public string? this[int index] => index < Words.Arguments.Count ? Words.Arguments[index] : null;

    /// <summary>An argument that is a whole number.</summary>
    /// <exception cref="OperatorException">It is none.</exception>
    public long Number(int index, string what) => long.TryParse(this[index], System.Globalization.CultureInfo.InvariantCulture, out var number) && number >= 0
        ? number : throw new OperatorException($"'{this[index]}' is no {what}. Expected a whole number.");

    /// <summary>Whether the line has a flag.</summary>
    public bool Has(string flag) => Words.Flags.Contains(flag);
}

/// <summary>What an operator's program sends.</summary>
/// <param name="Line">The command with its arguments.</param>
/// <param name="Operator">Who asks, as far as is known; only for the audit.</param>
/// <param name="Id">Tells this call from all others, so that one that is sent again is not carried out twice; empty for none.</param>
public sealed record CommandCall(string Line, string Operator, string Id = "");

/// <summary>What comes of a command.</summary>
/// <param name="IsDone">Whether it was, or is being, carried out.</param>
/// <param name="Text">For people; lines without control characters.</param>
/// <param name="Json">For programs; null where the text says it all.</param>
/// <param name="NeedsConsent">Whether it waits for somebody to agree to what the text says: the line with <c>--yes</c> does it.</param>
public sealed record CommandAnswer(bool IsDone, string Text, JsonNode? Json = null, bool NeedsConsent = false)
{
    /// <summary>The answer as JSON, whatever the command.</summary>
    public JsonNode ToJson() => IsDone && Json is not null ? Json : new JsonObject { ["done"] = IsDone, ["message"] = Text };
}

/// <summary>A command cannot be carried out; the message says what was expected, what was found, what to do.</summary>
public sealed class OperatorException(string message) : Exception(message);
