using System.Globalization;
using System.Text.Json.Nodes;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>Whether links between nodes hold a run up, in words and numbers, from one look at them. Pure.</summary>
internal static class LinkExplanation
{
    /// <summary>What waits in a link is worth a sentence from this share of a step's time on.</summary>
    private const double NotableShare = 0.1;

    private const double MiB = 1 << 20;

    /// <summary>A sentence for each link that holds the run up, or one that says that none does; none without links.</summary>
    /// <param name="links">Links with their rates.</param>
    /// <param name="stepSeconds">Time of a step.</param>
    internal static IReadOnlyList<string> Sentences(IReadOnlyList<LinkRate> links, double stepSeconds)
    {
        if (links.Count == 0) return [];
        string[] holding = [.. links.Select(link => Verdict(link, stepSeconds)).OfType<string>()];
        if (holding.Length > 0) return holding;
        var busiest = links.MaxBy(link => link.BytesPerSecond ?? 0)!;
        return [busiest.BytesPerSecond is { } speed
            ? Invariant($"No link holds it up: the busiest, {Name(busiest)}, carries {speed / MiB:F2} MiB/s, {speed * stepSeconds / MiB:F2} MiB a step, and next to nothing waits.")
            : "No link holds it up: next to nothing waits in any."];
    }

    /// <summary>The same for programs.</summary>
    internal static JsonArray Json(IReadOnlyList<LinkRate> links, double stepSeconds) => new([.. links.Select(link => (JsonNode)new JsonObject
    {
        ["from_rank"] = link.Line.FromRank, ["to_rank"] = link.Line.ToRank, ["bytes_per_second"] = StatusJson.Finite(link.BytesPerSecond),
        ["queued_bytes"] = link.Line.QueuedBytes, ["credit_bytes"] = link.Line.CreditBytes, ["holds_up"] = Verdict(link, stepSeconds) is not null,
    })]);

    private static string? Verdict(LinkRate link, double stepSeconds)
    {
        var (line, waiting) = (link.Line, link.Line.QueuedBytes / MiB);
        if (!line.IsConnected) return Invariant($"{Name(link)} is broken: {waiting:F2} MiB wait until it is there again.");
        if (line.QueuedBytes == 0) return null;
        if (line.CreditBytes < line.QueuedBytes)
            return Invariant($"{Name(link)}: {waiting:F2} MiB wait and rank {line.ToRank} takes {line.CreditBytes / MiB:F2} MiB more: the receiver is the slower one.");
        // A link that carries nothing although something waits is slower than any rate that it had.
        var seconds = link.BytesPerSecond is { } speed && speed > 0 ? line.QueuedBytes / speed : double.PositiveInfinity;
        if (link.BytesPerSecond is null || seconds < NotableShare * stepSeconds) return null;
        var meaning = double.IsFinite(seconds) ? Invariant($"{seconds:F3} s at its present rate, {seconds / stepSeconds:P0} of a step") : "and nothing is carried at present";
        return Invariant($"{Name(link)}: {waiting:F2} MiB wait, {meaning}: the link is the slower one. Ranks on one node (`move`), another link.kind, or compression.activations send less over it.");
    }

    private static string Name(LinkRate link) => $"Link {link.Line.FromRank} -> {link.Line.ToRank} ({SafeText.Of(link.Line.Kind)}, {SafeText.Of(link.Line.From)} to {SafeText.Of(link.Line.To)})";

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
