using System.Collections;

namespace Pipeline.Cli;

/// <summary>What a command sees of the world around it, so that tests can give it another one.</summary>
public sealed record CommandContext
{
    /// <summary>Where results go.</summary>
    public required TextWriter Output { get; init; }

    /// <summary>Where errors and notices go.</summary>
    public required TextWriter Error { get; init; }

    /// <summary>Environment variables.</summary>
    public required IReadOnlyDictionary<string, string> Variables { get; init; }

    /// <summary>Whether results go to a terminal, on which a line can be rewritten.</summary>
    public bool IsTerminal { get; init; }

    /// <summary>Whether errors and notices go to a terminal.</summary>
    public bool IsErrorTerminal { get; init; }

    /// <summary>Clock and timers.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>The context of this process.</summary>
    public static CommandContext OfProcess() => new()
    {
        Output = Console.Out,
        Error = Console.Error,
        IsTerminal = !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("CI") != "true",
        IsErrorTerminal = !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("CI") != "true",
        Variables = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
            .ToDictionary(entry => (string)entry.Key, entry => (string?)entry.Value ?? "", StringComparer.Ordinal),
    };
}
