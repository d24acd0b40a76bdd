using System.Globalization;
using System.Text.Json.Nodes;
using Pipeline.Runs;

namespace Pipeline.Operator;

/// <summary>How things stand: the run, its nodes, stages, links, and other runs beside it.</summary>
internal static class StandingCommands
{
    internal static IReadOnlyList<OperatorCommand> All { get; } =
    [
        new("status", "", "How the run stands: phase, step, time left, loss, where each stage is.")
        {
            Detail = "Phases: preparing (waits for nodes), running, pausing (steps under way are finished), paused, recovering, stopping, ending.",
            Examples = [("status", "is it healthy?"), ("status --json", "for programs")],
            Run = StatusAsync,
        },
        new("nodes", "", "Who is there: process, machine, roles, stages, device, processor time and memory.")
        {
            Examples = [("nodes", "who leads, who is spare")],
            Run = NodesAsync,
        },
        new("stages", "", "What each rank does: node, units, step, busy and waiting share of the newest steps.")
        {
            Examples = [("stages", "which rank is slow?")],
            Run = StagesAsync,
        },
        LinksCommand.Command,
        new("runs", "", "The runs beside this one, newest first: step, loss, whether they are under way.")
        {
            Examples = [("runs", "what else was trained")],
            Run = request => Task.FromResult(Runs(request)),
        },
    ];

    /// <summary>Name of the node of a rank, as far as it is known.</summary>
    internal static string NameOf(IReadOnlyList<OperatedNode> nodes, Protocol.NodeId id) =>
        nodes.FirstOrDefault(node => node.Id == id)?.Line.Name ?? (nodes.Count == 1 ? nodes[0].Line.Name : id.Address);

    private static async Task<CommandAnswer> StatusAsync(CommandRequest request)
    {
        var nodes = await request.Run.NodesAsync(request.Cancellation).ConfigureAwait(false);
        var status = request.Run.IsLed ? await request.Run.StatusAsync(request.Cancellation).ConfigureAwait(false) : null;
        var json = StatusJson.Of(request.Run.Files, status, nodes, request.Watch);
        return new CommandAnswer(true, StatusText.Of(json), json);
    }

    private static async Task<CommandAnswer> NodesAsync(CommandRequest request)
    {
        var nodes = await request.Run.NodesAsync(request.Cancellation).ConfigureAwait(false);
        var stages = request.Run.IsLed ? (await request.Run.StatusAsync(request.Cancellation).ConfigureAwait(false)).Stages : [];
        var loads = await request.Run.Loads(request.Cancellation).ConfigureAwait(false);
        var rows = nodes.OrderBy(node => node.Line.Name, StringComparer.Ordinal).Select(node =>
        {
            var ranks = stages.Where(stage => NameOf(nodes, stage.Node) == node.Line.Name).Select(stage => stage.Rank).ToArray();
            // One that does not answer can still be measured where it lies on this machine.
            var load = loads.GetValueOrDefault(node.Id) ?? (node.Line.Host == Environment.MachineName ? ProcessLoad.Of(node.Line.ProcessId) : null);
            return (node.Line, Ranks: ranks, Load: load);
        }).ToArray();
        return new CommandAnswer(
            true,
            TextTable.Of(["node", "pid", "host", "roles", "duty", "device", "cpu s", "memory"], rows.Select(row => (IReadOnlyList<string>)
            [
                row.Line.Name, $"{row.Line.ProcessId}", row.Line.Host, string.Join('+', row.Line.Roles),
                (row.Line.Leads ? "leads, " : "") + (row.Ranks.Length > 0 ? "ranks " + string.Join(", ", row.Ranks) : "spare"), row.Line.Device,
                row.Load is { } load ? load.ProcessorSeconds.ToString("F1", CultureInfo.InvariantCulture) : "-",
                row.Load is { } held ? $"{held.ResidentBytes >> 20} MiB" : "-",
            ])),
            new JsonArray([.. rows.Select(row => (JsonNode)new JsonObject
            {
                ["name"] = row.Line.Name, ["pid"] = row.Line.ProcessId, ["host"] = row.Line.Host, ["roles"] = new JsonArray([.. row.Line.Roles.Select(role => (JsonNode)role)]),
                ["coordinates"] = row.Line.Leads, ["ranks"] = new JsonArray([.. row.Ranks.Select(rank => (JsonNode)rank)]),
                ["device"] = row.Line.Device, ["cpu_seconds"] = row.Load?.ProcessorSeconds, ["memory_bytes"] = row.Load?.ResidentBytes,
            })]));
    }

    private static async Task<CommandAnswer> StagesAsync(CommandRequest request)
    {
        var nodes = await request.Run.NodesAsync(request.Cancellation).ConfigureAwait(false);
        var status = await request.Run.StatusAsync(request.Cancellation).ConfigureAwait(false);
        var shares = RankShares.Of(request.Watch.Recent(Explanation.StepCount));
        var rows = status.Stages.Select(stage => (Stage: stage, Node: NameOf(nodes, stage.Node), Share: shares.FirstOrDefault(share => share.Rank == stage.Rank))).ToArray();
        return new CommandAnswer(
            true,
            TextTable.Of(["rank", "node", "copies", "units", "step", "busy", "wait", "replicas", "state"], rows.Select(row => (IReadOnlyList<string>)
            [
                $"{row.Stage.Rank}", row.Node, row.Stage.Holder is { } holder ? NameOf(nodes, holder) : "-", $"{row.Stage.UnitCount}", $"{row.Stage.Step}",
                Percent(row.Share?.Busy), Percent(row.Share?.Wait), Percent(row.Share?.Exposed), row.Stage.IsReady ? "ready" : "preparing",
            ])),
            new JsonArray([.. rows.Select(row => (JsonNode)new JsonObject
            {
                ["rank"] = row.Stage.Rank, ["node"] = row.Node, ["units"] = row.Stage.UnitCount, ["step"] = row.Stage.Step,
                ["busy"] = row.Share?.Busy, ["wait"] = row.Share?.Wait, ["exposed"] = row.Share?.Exposed, ["ready"] = row.Stage.IsReady,
            })]));
    }

    private static CommandAnswer Runs(CommandRequest request)
    {
        var parent = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(request.Run.Files.Folder))) ?? "/";
        var runs = Directory.EnumerateDirectories(parent).Select(folder => new RunFiles(folder)).Where(files => files.HoldRun())
            .OrderByDescending(files => Directory.GetLastWriteTimeUtc(files.Folder)).Take(50)
            .Select(files => (Name: Path.GetFileName(files.Folder), IsLive: File.Exists(files.Endpoint), Last: LastOf(files))).ToArray();
        return new CommandAnswer(
            true,
            TextTable.Of(["run", "state", "step", "loss"], runs.Select(run => (IReadOnlyList<string>)
                [run.Name, run.IsLive ? "under way" : "over", $"{run.Last?.Step ?? 0}", run.Last?.Loss.ToString("F4", CultureInfo.InvariantCulture) ?? "-"])),
            new JsonArray([.. runs.Select(run => (JsonNode)new JsonObject { ["name"] = run.Name, ["under_way"] = run.IsLive, ["step"] = run.Last?.Step ?? 0, ["loss"] = StatusJson.Finite(run.Last?.Loss) })]));
    }

    private static StepMetrics? LastOf(RunFiles files)
    {
        try
        {
            return File.Exists(files.Metrics) ? MetricsReader.Read(files.Metrics).OfType<StepMetrics>().LastOrDefault() : null;
        }
        catch (RunException)
        {
            // A run that was damaged, or is being removed, has no say in the list of the others.
            return null;
        }
    }

    private static string Percent(double? share) => share is { } known ? known.ToString("P0", CultureInfo.InvariantCulture) : "-";
}
