using System.CommandLine;
using Pipeline.Cli.Execution;
using Pipeline.Cli.Terminal;
using Pipeline.Operator;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline console</c>: the commands of the catalogue at a prompt, from a file, or from the command line.</summary>
internal static class ConsoleCommand
{
    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("console", "Commands a run that is under way: a prompt with history and Tab completion, or a script. `help` at the prompt teaches the commands.")
        {
            Examples =
            [
                ("pipeline console --run runs/2026-05-01-gpt-micro-001", "a prompt; Ctrl-D leaves, the run goes on"),
                ("pipeline console --run runs/2026-05-01-gpt-micro-001 -e \"pause; checkpoint now; resume\"", "several commands; ends with the first that is refused"),
                ("pipeline console --run runs/2026-05-01-gpt-micro-001 < commands.txt", "a line each; # begins a comment"),
            ],
        };
        Option<string> script = new("-e") { HelpName = "COMMANDS", Description = "Commands, separated by semicolons." };
        command.Add(script);
        var connect = RunConnection.AddTo(command, context);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var connection = connect(parsed);
            if (parsed.GetValue(script) is { } lines) return await new CommandScript(context, connection).RunAsync(CommandWords.Lines(lines)).ConfigureAwait(false);
            if (Console.IsInputRedirected || !context.IsTerminal) return await new CommandScript(context, connection).RunAsync(CommandWords.Lines(await Console.In.ReadToEndAsync(cancellation).ConfigureAwait(false))).ConfigureAwait(false);
            return await new CommandPrompt(context, connection, new ConsoleTerminal()).RunAsync().ConfigureAwait(false);
        });
        return command;
    }
}
