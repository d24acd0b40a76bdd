using System.Globalization;
using System.Text.Json.Nodes;
using Pipeline.Coordinator;

namespace Pipeline.Operator;

/// <summary>
/// Why a run is as slow as it is, in words and numbers: which rank the others wait for, what dividing the units anew could win, which link is too slow, what
/// is lost beside computing and waiting. Pure.
/// </summary>
public static class Explanation
{
    /// <summary>Steps that are looked at.</summary>
    public const int StepCount = 50;

    /// <summary>A rank counts as a straggler from this much more computing than the mean on.</summary>
    public const double StragglerFactor = 1.15;

    /// <summary>Time that is neither computing nor waiting is worth a sentence from this share on.</summary>
    private const double NotableRest = 0.1;

    private const double BytesPerMebibyte = 1 << 20;

    /// <summary>The ranks that compute notably longer than the mean.</summary>
    public static IReadOnlyList<RankShares> Stragglers(IReadOnlyList<RankShares> shares)
    {
        if (shares.Count < 2) return [];
        var mean = shares.Average(share => share.Busy);
        return [.. shares.Where(share => mean > 0 && share.Busy > StragglerFactor * mean).OrderByDescending(share => share.Busy)];
    }

    /// <summary>Explains some steps.</summary>
    /// <param name="steps">The newest.</param>
    /// <param name="links">Links between nodes, with their rates; none within one process.</param>
    /// <param name="traced">Seconds of a step whose actions were recorded, and those that its schedule alone makes of the same actions; null where none were.</param>
    public static (string Text, JsonObject Json) Of(IReadOnlyList<StepSummary> steps, IReadOnlyList<LinkRate>? links = null, (double Measured, double Alone)? traced = null)
    {
        links ??= [];
        if (steps.Count == 0) return ("No step was committed since this process leads the run. Ask again after some steps.", new JsonObject { ["steps"] = 0 });
        var shares = RankShares.Of(steps);
        var (seconds, bubble) = (steps.Average(step => step.Seconds), steps.Average(step => step.Bubble));
        List<string> lines =
        [
            Invariant($"Over the last {steps.Count} steps a step took {seconds:F3} s: {steps.Average(step => step.TokenCount) / seconds:N0} tokens/s."),
            Invariant($"All ranks together compute {1 - bubble:P1} of the time; {bubble:P1} is the bubble."),
        ];
        foreach (var share in shares) lines.Add(Invariant($"  rank {share.Rank}: computes {share.Busy:P0}, waits for inputs {share.Wait:P0}, neither {share.Rest:P0}  {Bar(share)}"));
        lines.Add(Verdict(shares));
        if (ReplicaExchange.Of(steps) is { } exchange) lines.Add(Sentence(exchange));
        lines.AddRange(LinkExplanation.Sentences(links, seconds));
        if (traced is var (measured, alone))
            lines.Add(Invariant($"The schedule alone would take {alone:F3} s for the same actions, of {measured:F3} s measured: {Math.Max(0, 1 - (alone / measured)):P0} is handing over, links and chance (`timeline`)."));
        var (clipped, redone) = (steps.Count(step => step.IsClipped), steps.Count(step => step.IsRedone));
        if (clipped + redone > 0)
            lines.Add(Invariant($"{clipped} of these steps were clipped ({(double)clipped / steps.Count:P0}), {redone} were begun anew ({(double)redone / steps.Count:P0}): begun without the norm of the step before, which was not what had been assumed."));
        if (shares.Max(share => share.Rest) is > NotableRest and var rest)
            lines.Add(Invariant($"Up to {rest:P0} of a rank's time is neither: sending, starting actions, or a processor that others use too."));
        return (string.Join('\n', lines), new JsonObject
        {
            ["steps"] = steps.Count, ["step_seconds"] = StatusJson.Finite(seconds), ["bubble"] = StatusJson.Finite(bubble),
            ["clipped"] = (double)clipped / steps.Count, ["redone"] = (double)redone / steps.Count,
            ["ranks"] = new JsonArray([.. shares.Select(share => (JsonNode)new JsonObject { ["rank"] = share.Rank, ["busy"] = share.Busy, ["wait"] = share.Wait, ["rest"] = share.Rest })]),
            ["exposed_seconds"] = StatusJson.Finite(ReplicaExchange.Of(steps)?.ExposedSeconds), ["exchanged_bytes"] = StatusJson.Finite(ReplicaExchange.Of(steps)?.Bytes),
            ["stragglers"] = new JsonArray([.. Stragglers(shares).Select(share => (JsonNode)share.Rank)]),
            ["links"] = LinkExplanation.Json(links, seconds), ["traced_seconds"] = StatusJson.Finite(traced?.Measured), ["alone_seconds"] = StatusJson.Finite(traced?.Alone),
        });
    }

    private static string Verdict(IReadOnlyList<RankShares> shares)
    {
        if (shares.Count == 1) return "There is one rank: nothing waits for anything. Only a faster stage makes the run faster.";
        var (slowest, mean) = (shares.MaxBy(share => share.Busy)!, shares.Average(share => share.Busy));
        return Stragglers(shares).Count > 0
            ? Invariant($"Rank {slowest.Rank} computes {slowest.Busy / mean:F2} times as long as the mean, and the others wait for it. Equal ranks would save up to {(slowest.Busy - mean) / Math.Max(slowest.Busy, double.Epsilon):P0} of its time: try `rebalance`, or `move` it to a faster node.")
            : "The ranks compute about equally long: what they wait is the schedule's own bubble. More micro-batches a step, or a schedule with less of it, make it smaller (`pipeline plan`).";
    }

    private static string Sentence(ReplicaExchange exchange) =>
        Invariant($"Of its waiting a rank waits {exchange.ExposedSeconds * 1e3:F1} ms a step, {exchange.Share:P1} of it, for other replicas: communication that nothing hides; it sends them {exchange.Bytes / BytesPerMebibyte:F2} MiB. ")
        + (exchange.Share > NotableRest ? "Fewer bytes (`set compression int8`), more micro-batches a step or local steps make it less." : "That is little.");

    private static string Bar(RankShares share)
    {
        const int width = 24;
        var busy = (int)Math.Round(Math.Clamp(share.Busy, 0, 1) * width);
        var wait = Math.Min(width - busy, (int)Math.Round(Math.Clamp(share.Wait, 0, 1) * width));
        return new string('█', busy) + new string('░', wait) + new string(' ', width - busy - wait);
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
