using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Protocol.Security;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline dump show FILE</c>: what the ranks of a run were at when something went wrong.</summary>
internal static class DumpCommand
{
    private const int DefaultCount = 12;
    private const int LongestSubject = 120;

    public static Command Create(CommandContext context) =>
        new TaughtCommand("dump", "Reads what flight recorders have written.") { Subcommands = { Show(context) } };

    private static Command Show(CommandContext context)
    {
        Argument<string> file = new("FILE") { Description = "A file of a run's folder dumps/." };
        Option<int> count = new("--last") { HelpName = "N", Description = "Entries to print of each rank.", DefaultValueFactory = _ => DefaultCount };
        var json = ConfigCommand.JsonOption();
        TaughtCommand command = new("show", "Prints who waits for whom, and what each rank did last.")
        {
            Arguments = { file },
            Options = { count, json },
            Examples =
            [
                ("pipeline dump show runs/2026-05-01-gpt-micro-001/dumps/dump-00001-step-40.json", "times are seconds before the dump"),
                ("pipeline dump show FILE --last 100", "more of what each rank did"),
            ],
        };
        command.SetAction(parsed =>
        {
            var dump = FlightFile.Read(parsed.GetValue(file)!);
            context.Output.WriteLine(parsed.GetValue(json) ? JsonSerializer.Serialize(dump, JsonOutput.Options) : Text(dump, parsed.GetValue(count)));
            return ExitCode.Done;
        });
        return command;
    }

    private static string Text(FlightDump dump, int count)
    {
        List<string> lines = [$"{SafeText.Of(dump.Reason, LongestSubject)}: step {dump.Step}, generation {dump.Generation}", .. WaitGraph.Describe(dump).Select(line => SafeText.Of(line, 300))];
        foreach (var rank in dump.Ranks)
        {
            lines.AddRange(["", $"rank {rank.Rank}"]);
            lines.AddRange(rank.Entries.TakeLast(Math.Max(0, count)).Select(Line));
        }

        return string.Join('\n', lines);
    }

    private static string Line(FlightEntry entry) => string.Create(CultureInfo.InvariantCulture,
        $"  {-entry.Age / 1e7,12:F6}  {entry.Kind.ToString().ToLowerInvariant(),-8} {SafeText.Of(entry.Subject, LongestSubject)}{Peer(entry)}");

    private static string Peer(FlightEntry entry) => entry.Peer < 0 ? "" : entry.Kind == FlightKind.Sent ? $", to rank {entry.Peer}" : $", from rank {entry.Peer}";
}
