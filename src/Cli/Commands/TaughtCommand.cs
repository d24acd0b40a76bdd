using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Pipeline.Cli.Commands;

/// <summary>A command whose help ends with examples.</summary>
internal sealed class TaughtCommand(string name, string description) : Command(name, description)
{
    /// <summary>Command lines to try, each with what it does.</summary>
    public IReadOnlyList<(string Line, string Purpose)> Examples { get; init; } = [];

    /// <summary>Whether the command registers for SIGINT and SIGTERM itself, because it saves something before it ends.</summary>
    public bool OwnsSignals { get; init; }
}

/// <summary>The usual help, then the command's examples.</summary>
internal sealed class TeachingHelp(HelpAction inner) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        inner.MaxWidth = 120;
        inner.Invoke(parseResult);
        if (parseResult.CommandResult.Command is not TaughtCommand { Examples: { Count: > 0 } examples }) return ExitCode.Done;
        var output = parseResult.InvocationConfiguration.Output;
        output.WriteLine("Examples:");
        foreach (var (line, purpose) in examples) output.WriteLine($"  {line}{Environment.NewLine}      {purpose}");
        output.WriteLine();
        return ExitCode.Done;
    }
}
