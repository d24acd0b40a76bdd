using System.CommandLine;
using Pipeline.Cli.Commands;

namespace Pipeline.Cli;

/// <summary>Parses and runs one command line, and turns whatever goes wrong into one message on stderr and an exit code.</summary>
public static class CommandLine
{
    /// <summary>Runs a command line to its end.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public static Task<int> RunAsync(IReadOnlyList<string> arguments, CommandContext context) =>
        RunAsync(CommandTree.Create(context), arguments, context);

    /// <summary>Runs a command line against a given tree of commands.</summary>
    internal static async Task<int> RunAsync(RootCommand root, IReadOnlyList<string> arguments, CommandContext context)
    {
        var parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0 && parsed.Action is not TeachingHelp)
        {
            foreach (var sentence in UsageErrors.Describe(parsed)) await context.Error.WriteLineAsync(sentence);
            return ExitCode.Refused;
        }

        try
        {
            // A signal cancels; commands that save something first register for it themselves.
            return await parsed.InvokeAsync(new()
            {
                Output = context.Output,
                Error = context.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = parsed.CommandResult.Command is TaughtCommand { OwnsSignals: true } ? null : TimeSpan.FromSeconds(5),
            });
        }
        catch (Exception failure)
        {
            return Failures.Report(failure, context.Error, parsed.GetValue(CommandTree.Verbose));
        }
    }
}
