using System.Text.Json;
using System.Text.Json.Nodes;
using Pipeline.Coordinator;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>What is written down: settings, who did what, what happened, what nodes log.</summary>
internal static class RecordCommands
{
    private const int LineCount = 40;
    private static readonly TimeSpan DumpPatience = TimeSpan.FromSeconds(10);
    private const int LongestLine = 300;
    private static readonly string[] AuditEvents = ["command-done", "command-refused", "run-paused", "run-resumed", "stop-requested"];

    internal static IReadOnlyList<OperatorCommand> All { get; } =
    [
        new("config", "[KEY] [--origin]", "The run's settings, all or those that begin with a key.")
        {
            Flags = [("--origin", "with the layer that each value comes from")],
            Examples = [("config optimizer", "the optimizer's"), ("config --origin", "where each value comes from")],
            ArgumentCount = (0, 1),
            Run = request => Task.FromResult(Config(request)),
        },
        new("audit", "", "Who has commanded what, when, and what came of it: the newest 40.")
        {
            Examples = [("audit", "who paused the run?")],
            Run = request => Task.FromResult(Events(request, AuditEvents)),
        },
        new("events", "", "What happened to the run: faults, recoveries, checkpoints, commands: the newest 40.")
        {
            Examples = [("events", "what went wrong in the night")],
            Run = request => Task.FromResult(Events(request, null)),
        },
        new("dump", "", "Writes down what each rank did last and whom it waits for.")
        {
            Detail = "A stall, a lost process and a failed stage write the same by themselves. `pipeline dump show FILE` prints such a file.",
            Examples = [("dump", "why does nothing move?")],
            Run = DumpAsync,
        },
        new("log", "[NODE]", "The end of the logs of the run and of its nodes, as far as they lie in its directory.")
        {
            Detail = "`log run` is what happened to the run (telemetry.log-format = text or json); what nodes say is there if `train --processes` has started them.",
            Examples = [("log node-2", "the last lines of one node")],
            ArgumentCount = (0, 1),
            Completions = [Completion.Node],
            Run = request => Task.FromResult(Log(request)),
        },
    ];

    private static CommandAnswer Config(CommandRequest request)
    {
        if (!File.Exists(request.Run.Files.Configuration)) return new CommandAnswer(false, $"There is no {request.Run.Files.Configuration}.");
        var prefix = request[0] is { } key ? key.StartsWith("pipeline.", StringComparison.Ordinal) ? key : "pipeline." + key : "";
        var lines = File.ReadLines(request.Run.Files.Configuration).Where(line => line.StartsWith(prefix, StringComparison.Ordinal))
            .Select(line => request.Has("--origin") ? line : WithoutOrigin(line)).Select(line => SafeText.Of(line, LongestLine)).ToArray();
        return lines.Length == 0 ? new CommandAnswer(false, $"No setting begins with '{SafeText.Of(request[0])}'.") : new CommandAnswer(true, string.Join('\n', lines),
            new JsonObject(lines.Select(line => line.Split(" = ", 2)).Where(parts => parts.Length == 2).DistinctBy(parts => parts[0]).Select(parts => KeyValuePair.Create(parts[0], (JsonNode?)parts[1]))));
    }

    // The printer writes the origin behind the last blank pair and a hash.
    private static string WithoutOrigin(string line) => line.LastIndexOf("  # ", StringComparison.Ordinal) is > 0 and var end ? line[..end].TrimEnd() : line;

    private static CommandAnswer Events(CommandRequest request, string[]? names)
    {
        if (!File.Exists(request.Run.Files.Events)) return new CommandAnswer(true, "Nothing has happened yet.", new JsonArray());
        var lines = ReadShared(request.Run.Files.Events).Select(Parse).OfType<JsonObject>()
            .Where(line => names is null || names.Contains(line["event"]?.GetValue<string>())).TakeLast(LineCount).ToArray();
        return new CommandAnswer(true, lines.Length == 0 ? "Nothing of that kind has happened yet." : string.Join('\n', lines.Select(Describe)), new JsonArray([.. lines.Select(line => (JsonNode)line)]));
    }

    private static async Task<CommandAnswer> DumpAsync(CommandRequest request)
    {
        var dump = await request.Run.AskAsync<FlightDump>(new DumpFlights("an operator asked"), DumpPatience, request.Cancellation).ConfigureAwait(false);
        var path = FlightFile.Write(request.Run.Files, dump);
        string[] lines = [.. WaitGraph.Describe(dump).Select(line => SafeText.Of(line, LongestLine))];
        return new CommandAnswer(true, string.Join('\n', [.. lines, path]), new JsonObject
        {
            ["path"] = path, ["step"] = dump.Step, ["generation"] = dump.Generation, ["lines"] = new JsonArray([.. lines.Select(line => (JsonNode)line)]),
        });
    }

    private static string Describe(JsonObject line)
    {
        var fields = line.Where(field => field.Key is not ("time" or "event" or "severity" or "id") && field.Value is not null).Select(field => $"{field.Key}={SafeText.Of(field.Value!.ToString())}");
        return $"{SafeText.Of(line["time"]?.ToString())}  {SafeText.Of(line["event"]?.ToString()),-18} {string.Join("  ", fields)}";
    }

    private static JsonObject? Parse(string line)
    {
        try
        {
            return JsonNode.Parse(line) as JsonObject;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static CommandAnswer Log(CommandRequest request)
    {
        var folder = request.Run.Files.Logs;
        if (!Directory.Exists(folder)) return new CommandAnswer(true, "No logs lie in the run's directory; `events` tells what happened.");
        // The name is only compared, never made part of a path.
        var files = Directory.EnumerateFiles(folder, "*.log").Where(file => request[0] is not { } node || Path.GetFileNameWithoutExtension(file).StartsWith(node, StringComparison.Ordinal)).Order(StringComparer.Ordinal).ToArray();
        if (files.Length == 0) return new CommandAnswer(false, $"No log of '{SafeText.Of(request[0])}' lies in {folder}.");
        return new CommandAnswer(true, string.Join('\n', files.Select(file =>
            $"--- {SafeText.Of(Path.GetFileName(file))}\n" + string.Join('\n', ReadShared(file).TakeLast(files.Length == 1 ? LineCount : 8).Select(line => SafeText.Of(line, LongestLine))))));
    }

    private static IEnumerable<string> ReadShared(string path)
    {
        using StreamReader reader = new(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));
        while (reader.ReadLine() is { } line) yield return line;
    }
}
