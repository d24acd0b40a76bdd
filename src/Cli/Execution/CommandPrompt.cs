using Pipeline.Cli.Commands;
using Pipeline.Cli.Terminal;
using Pipeline.Operator;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>The console's prompt: reads lines until the operator leaves. It takes no part in the run.</summary>
internal sealed class CommandPrompt(CommandContext context, RunConnection connection, ITerminal terminal)
{
    private const string Prompt = "pipeline> ";
    private readonly LineHistory _history = new(LineHistory.PathFor(context.Variables));

    /// <summary>Runs until exit, quit or Ctrl-D.</summary>
    public async Task<int> RunAsync()
    {
        LineEditor editor = new(terminal, _history, Complete);
        context.Output.WriteLine($"The run at {connection.Name}. `help` lists the commands, Tab completes, Ctrl-D leaves; the run goes on.");
        while (await Task.Run(() => editor.Read(Prompt)).ConfigureAwait(false) is { } text)
        {
            foreach (var line in CommandWords.Lines(text))
            {
                if (line is "exit" or "quit") return ExitCode.Done;
                if (line == "top") await WatchAsync().ConfigureAwait(false);
                else await CarryOutAsync(line, editor).ConfigureAwait(false);
            }
        }

        return ExitCode.Done;
    }

    /// <summary>At a prompt the view stays until somebody leaves it.</summary>
    private async Task WatchAsync()
    {
        try
        {
            await TopCommand.WatchAsync(context, connection, TimeSpan.FromSeconds(1), CancellationToken.None).ConfigureAwait(false);
        }
        catch (RunException unreachable)
        {
            context.Output.WriteLine(unreachable.Message);
        }
    }

    private async Task CarryOutAsync(string line, LineEditor editor)
    {
        try
        {
            var reply = await Consent.OperateAsync(context, connection, line, isGiven: false, warning => Ask(editor, warning)).ConfigureAwait(false);
            context.Output.WriteLine(reply.Done ? CommandScript.Shown(line, reply) : reply.Message);
        }
        catch (RunException unreachable)
        {
            context.Output.WriteLine(unreachable.Message);
        }
    }

    private bool Ask(LineEditor editor, string warning)
    {
        context.Output.WriteLine(warning);
        return editor.Read("go on (y/n)? ")?.Trim() is "y" or "yes";
    }

    private IReadOnlyList<string> Complete(string line)
    {
        try
        {
            // Words of the catalogue need nobody's answer.
            return line.Contains(' ', StringComparison.Ordinal)
                ? connection.CompleteAsync(line).GetAwaiter().GetResult()
                : [.. CommandCatalogue.All.Select(command => command.Name).Append("exit").Where(name => name.StartsWith(line, StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
        }
        catch (RunException)
        {
            return [];
        }
    }
}
