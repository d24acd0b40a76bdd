using System.CommandLine;
using System.Text.Json.Nodes;
using Pipeline.Cli.Execution;
using Pipeline.Cli.Terminal;
using Pipeline.Runs;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline top</c>: a run under way, live in the terminal; without a terminal a line now and then.</summary>
internal static class TopCommand
{
    private const string EnterScreen = "\u001b[?1049h\u001b[?25l";
    private const string LeaveScreen = "\u001b[?25h\u001b[?1049l";

    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("top", "Watches a run that is under way: progress, loss, ranks, nodes. Without a terminal a line every interval, until the run ends.")
        {
            Examples = [("pipeline top --run runs/2026-05-01-gpt-micro-001", "q leaves; the run goes on"), ("pipeline top --run runs/2026-05-01-gpt-micro-001 --every 30 >> watch.log", "a line every 30 seconds")],
        };
        Option<double?> every = new("--every") { HelpName = "SECONDS", Description = "Seconds between two looks; 1 on a terminal, else 5." };
        var json = ConfigCommand.JsonOption();
        command.Add(every);
        command.Add(json);
        var connect = RunConnection.AddTo(command, context);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var connection = connect(parsed);
            var asJson = parsed.GetValue(json);
            var isLive = context.IsTerminal && !Console.IsInputRedirected && !asJson;
            var pause = TimeSpan.FromSeconds(Math.Max(0.2, parsed.GetValue(every) ?? (isLive ? 1 : 5)));
            return isLive ? await WatchAsync(context, connection, pause, cancellation).ConfigureAwait(false) : await PrintAsync(context, connection, pause, asJson, cancellation).ConfigureAwait(false);
        });
        return command;
    }

    /// <summary>Shows the run on a screen of its own until somebody leaves or the run ends.</summary>
    internal static async Task<int> WatchAsync(CommandContext context, RunConnection connection, TimeSpan pause, CancellationToken cancellation)
    {
        var hasColor = string.IsNullOrEmpty(context.Variables.GetValueOrDefault("NO_COLOR"));
        // The first look is outside the screen, so that a run that is not there is said where it can be read.
        var view = await LookAsync(connection).ConfigureAwait(false);
        context.Output.Write(EnterScreen);
        try
        {
            while (view is not null && !cancellation.IsCancellationRequested)
            {
                context.Output.Write("\u001b[H" + string.Concat(view.Screen(Math.Max(40, Console.WindowWidth), hasColor).Take(Math.Max(3, Console.WindowHeight - 1)).Select(line => line + "\u001b[K\r\n")) + "\u001b[J");
                if (await LeavesAsync(context, pause, cancellation).ConfigureAwait(false)) return ExitCode.Done;
                view = await LookAsync(connection).ConfigureAwait(false);
            }
        }
        catch (RunException)
        {
            // The run is over, or nobody leads it any more.
            view = null;
        }
        finally
        {
            context.Output.Write(LeaveScreen);
        }

        if (view is null) context.Output.WriteLine("The run does not answer any more.");
        return ExitCode.Done;
    }

    private static async Task<bool> LeavesAsync(CommandContext context, TimeSpan pause, CancellationToken cancellation)
    {
        var start = context.Time.GetTimestamp();
        while (context.Time.GetElapsedTime(start) < pause && !cancellation.IsCancellationRequested)
        {
            if (Console.KeyAvailable && Console.ReadKey(intercept: true).KeyChar is 'q' or 'Q') return true;
            await Task.Delay(TimeSpan.FromMilliseconds(50), cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return cancellation.IsCancellationRequested;
    }

    private static async Task<int> PrintAsync(CommandContext context, RunConnection connection, TimeSpan pause, bool asJson, CancellationToken cancellation)
    {
        for (var isFirst = true; !cancellation.IsCancellationRequested; isFirst = false)
        {
            try
            {
                if (await LookAsync(connection).ConfigureAwait(false) is not { } view) return ExitCode.Done;
                context.Output.WriteLine(asJson ? view.Status.ToJsonString() : view.Line());
                await context.Output.FlushAsync(cancellation).ConfigureAwait(false);
            }
            catch (RunException) when (!isFirst)
            {
                return ExitCode.Done;
            }

            await Task.Delay(pause, context.Time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return ExitCode.Done;
    }

    private static async Task<TopView?> LookAsync(RunConnection connection)
    {
        var (refusal, status) = await connection.StatusAsync().ConfigureAwait(false);
        if (status is null) throw new RunException(refusal ?? "The run does not answer.");
        if (status["phase"]?.ToString() == "ended") return null;
        return new TopView(status, await ListAsync(connection, "stages").ConfigureAwait(false), await ListAsync(connection, "nodes").ConfigureAwait(false), await ListAsync(connection, "links").ConfigureAwait(false), (await connection.OperateAsync("loss").ConfigureAwait(false)).Message.Split('\n')[0]);
    }

    private static async Task<JsonArray> ListAsync(RunConnection connection, string line) =>
        (await connection.OperateAsync(line).ConfigureAwait(false)).Json is { } json && JsonNode.Parse(json) is JsonArray list ? list : [];
}
