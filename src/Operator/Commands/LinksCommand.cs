using System.Globalization;
using System.Text.Json.Nodes;
using Pipeline.Coordinator;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>Which ranks hand tensors to which: by reference within a process, over a link between processes, with its rate and its credit.</summary>
internal static class LinksCommand
{
    private const double MiB = 1 << 20;

    internal static OperatorCommand Command { get; } = new("links", "", "What is handed from rank to rank: by reference, or over links with MiB/s, credit and what waits.")
    {
        Detail = "Credit is what the receiver would still take at this moment: near zero for long means that it is the slower one. Each link is as its sender sees it; of a node that does not answer soon there are none.",
        Examples = [("links", "what crosses between nodes, and how fast?")],
        Run = RunAsync,
    };

    private static async Task<CommandAnswer> RunAsync(CommandRequest request)
    {
        var nodes = await request.Run.NodesAsync(request.Cancellation).ConfigureAwait(false);
        var status = await request.Run.StatusAsync(request.Cancellation).ConfigureAwait(false);
        var rates = await request.Run.LinksAsync(request.Cancellation).ConfigureAwait(false);
        Link[] links = [.. Inside(status).Select(pair => new Link(pair.From.Rank, pair.To.Rank, StandingCommands.NameOf(nodes, pair.From.Node), StandingCommands.NameOf(nodes, pair.To.Node), null)),
            .. rates.Select(rate => new Link(rate.Line.FromRank, rate.Line.ToRank, rate.Line.From, rate.Line.To, rate))];
        if (links.Length == 0) return new CommandAnswer(true, status.Stages.Count < 2 ? "The run has one rank: nothing is handed on." : "No link has said anything yet.", new JsonArray());
        return new CommandAnswer(
            true,
            TextTable.Of(["ranks", "from", "to", "way", "for", "MiB/s", "credit MiB", "waits MiB", "sent MiB", "resent", "reconnects"], links.Select(Row)),
            new JsonArray([.. links.Select(link => (JsonNode)Json(link))]));
    }

    /// <summary>Ranks beside each other in a replica that lie on one node; those that add up beside the replicas have no units and hand each other nothing.</summary>
    private static IEnumerable<(RankStatus From, RankStatus To)> Inside(RunStatus status)
    {
        // A replica ends with the rank with which it has all units.
        var (held, all) = (0, status.UnitNames is { Count: > 0 } names ? names.Count : Math.Max(1, status.Stages.Sum(stage => stage.UnitCount)));
        foreach (var (from, to) in status.Stages.SkipLast(1).Zip(status.Stages.Skip(1)))
        {
            held = (held + from.UnitCount) % all;
            if (from.Node == to.Node && to.UnitCount > 0 && held > 0) yield return (from, to);
        }
    }

    private static IReadOnlyList<string> Row(Link link) => link.Rate is not { } rate
        ? [$"{link.FromRank} <-> {link.ToRank}", SafeText.Of(link.From), SafeText.Of(link.To), "by reference", "frames", "-", "-", "-", "-", "-", "-"]
        :
        [
            $"{link.FromRank} -> {link.ToRank}", SafeText.Of(link.From), SafeText.Of(link.To), SafeText.Of(rate.Line.Kind) + (rate.Line.IsConnected ? "" : ", broken"), SafeText.Of(rate.Line.Purpose),
            rate.BytesPerSecond is { } speed ? Text(speed / MiB) : "-", Text(rate.Line.CreditBytes / MiB), Text(rate.Line.QueuedBytes / MiB), Text(rate.Line.BytesSent / MiB), $"{rate.Line.ResentCount}", $"{rate.Line.ReconnectCount}",
        ];

    private static JsonObject Json(Link link)
    {
        JsonObject json = new() { ["from_rank"] = link.FromRank, ["to_rank"] = link.ToRank, ["from"] = link.From, ["to"] = link.To, ["same_process"] = link.Rate is null };
        if (link.Rate is not { } rate) return json;
        json["kind"] = rate.Line.Kind;
        json["purpose"] = rate.Line.Purpose;
        json["connected"] = rate.Line.IsConnected;
        json["bytes_per_second"] = StatusJson.Finite(rate.BytesPerSecond);
        json["credit_bytes"] = rate.Line.CreditBytes;
        json["queued_bytes"] = rate.Line.QueuedBytes;
        json["bytes_sent"] = rate.Line.BytesSent;
        json["resent"] = rate.Line.ResentCount;
        json["reconnects"] = rate.Line.ReconnectCount;
        return json;
    }

    private static string Text(double value) => value.ToString(value < 10 ? "0.00" : "0.0", CultureInfo.InvariantCulture);

    // Without a rate the ranks share a process.
    private sealed record Link(int FromRank, int ToRank, string From, string To, LinkRate? Rate);
}
