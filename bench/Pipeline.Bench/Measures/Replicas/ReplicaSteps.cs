using Pipeline.Bench.Reports;
using Pipeline.Reduction.Compression;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// What compression saves of a training step of two replicas when the link between them is slow: throttled so that
/// uncompressed communication that nothing hides takes a given share of the step.
/// </summary>
internal static class ReplicaSteps
{
    private const double WantedShare = 0.7;
    private const double UnlimitedRate = 0;
    private const double WantedShareLeft = 1.0 / 3;
    private const double WantedThroughput = 2;
    private const double LeastShare = 0.6;
    private const double GreatestShare = 0.8;
    private const int AttemptCount = 3;

    private static readonly (CompressionKind Kind, string Name, bool Overlaps)[] s_ways =
    [
        (CompressionKind.None, "none, not overlapped", false), (CompressionKind.None, "none", true), (CompressionKind.BFloat16, "bf16", true),
        (CompressionKind.Int8, "int8", true), (CompressionKind.Int4, "int4", true), (CompressionKind.OneBit, "one-bit", true), (CompressionKind.TopK, "top-k 1 %", true),
        (CompressionKind.PowerSgd, "power-sgd, rank 2", true),
    ];

    /// <summary>Measures with one micro-batch and with four.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        var stepCount = options.StepCount ?? (options.IsQuick ? 3 : 7);
        List<IReadOnlyList<string>> rows = [];
        List<string> verdicts = [];
        foreach (var microBatchCount in options.MicroBatchCount is { } only ? [only] : new[] { 1, 4 })
        {
            var (rate, slowest) = Slowed(Spec(CompressionKind.None, false));
            List<(string Name, double Share, double Throughput)> ways = [];
            foreach (var (kind, name, overlaps) in s_ways)
            {
                var result = overlaps ? ReplicaPair.Run(Spec(kind, true) with { BytesPerSecond = rate }) : slowest;
                ways.Add((name, result.Exposed / result.Seconds, slowest.Seconds / result.Seconds));
                rows.Add(Row(microBatchCount, rate, name, result, slowest));
            }

            verdicts.Add(Verdict(microBatchCount, ways));

            ReplicaSpec Spec(CompressionKind kind, bool overlaps) => new(Trains: true, kind, overlaps, microBatchCount, stepCount, UnlimitedRate, IsTcp: false, options.IsQuick);
        }

        return new BenchReport(
            "replica-steps",
            "Training steps of two replicas over a slow link",
            $"6 layers × 256, context 128, vocabulary 2,048, fp32, micro-batches of 4 samples, one thread a process; two processes, each with the whole model and half of the micro-batches. The sending end of the link "
            + $"is throttled so that uncompressed communication that nothing hides takes about {WantedShare:P0} of the step; its rate is corrected by what was measured with it. Exposed is the time from the moment at which both processes have done with backward to the end of the reduction; what one waits for the other's backward is no part of it. "
            + $"Medians of {stepCount} steps; bytes of one direction at the socket.",
            ["m", "link MiB/s", "compression", "step ms", "exposed ms", "for the other ms", "share of step", "exposed ÷ unhidden", "× throughput", "MiB a step", "× fewer bytes"], rows)
        {
            Remarks = [.. verdicts, "A share of 35 % that falls to 12 % is by itself worth a factor of (1 − 0.12) ÷ (1 − 0.35) = 1.35 in throughput."],
        };
    }

    /// <summary>
    /// The link on which a way's communication takes the wanted share of the step, and the way on it. Found from a run on a link that is not slowed, and again from what a slowed one showed.
    /// Each process sends as many bytes as its gradient has, both ways at once.
    /// </summary>
    private static (double Rate, ReplicaResult Result) Slowed(ReplicaSpec spec)
    {
        var free = ReplicaPair.Run(spec);
        var rate = free.SentBytes / Wanted(free);
        for (var attempt = 1; ; attempt++)
        {
            var result = ReplicaPair.Run(spec with { BytesPerSecond = rate });
            if (attempt == AttemptCount || result.Exposed / result.Seconds is >= LeastShare and <= GreatestShare) return (rate, result);
            rate *= result.Exposed / Wanted(result);
        }

        // Beside everything else of the step.
        static double Wanted(ReplicaResult result) => (result.Seconds - result.Exposed) * WantedShare / (1 - WantedShare);
    }

    /// <summary>One way, held against another.</summary>
    private static IReadOnlyList<string> Row(int microBatchCount, double rate, string name, ReplicaResult result, ReplicaResult slowest) =>
    [
        $"{microBatchCount}", $"{rate / (1 << 20):F1}", name, $"{result.Seconds * 1e3:F0}", $"{result.Exposed * 1e3:F0}", $"{result.Waited * 1e3:F0}", $"{result.Exposed / result.Seconds:P0}",
        $"{result.Exposed / slowest.Exposed:P0}", $"{slowest.Seconds / result.Seconds:F2}", $"{result.SentBytes / 1048576.0:F2}", $"{(double)slowest.SentBytes / result.SentBytes:F1}",
    ];

    /// <summary>Which ways meet what is wanted: the share of communication that nothing hides falls to a third of what it was, and throughput doubles.</summary>
    private static string Verdict(int microBatchCount, List<(string Name, double Share, double Throughput)> ways)
    {
        var met = ways.Skip(1).Where(way => way.Share <= ways[0].Share * WantedShareLeft && way.Throughput >= WantedThroughput).ToArray();
        var best = ways.Skip(1).MaxBy(way => way.Throughput);
        var isComparable = ways[0].Share is >= LeastShare and <= GreatestShare;
        return $"m = {microBatchCount}: the share was {ways[0].Share:P0} ({LeastShare:P0} to {GreatestShare:P0} wanted for the comparison{(isComparable ? "" : ": it does not count")}); it falls to a third or less, and throughput doubles, with {(met.Length > 0 ? string.Join(", ", met.Select(Said)) : $"no way; the fastest is {Said(best)}")}.";
    }

    private static string Said((string Name, double Share, double Throughput) way) => $"{way.Name} (to {way.Share:P0}, × {way.Throughput:F2})";
}
