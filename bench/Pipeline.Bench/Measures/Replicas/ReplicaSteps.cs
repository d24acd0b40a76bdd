using Pipeline.Bench.Reports;
using Pipeline.Reduction.Compression;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// What overlap and compression save of a training step of two replicas when the link between them is slow: throttled so that
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
    private const double AllowedExposure = 0.2;

    /// <summary>How much longer than the communication the last micro-batch's backward lasts, for the rows that judge overlap alone.</summary>
    private const double WindowOverCommunication = 2;

    /// <summary>Layers of a second model: the last bucket, which nothing can hide, is half as large a part of it.</summary>
    private const int DeepLayerCount = 12;

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
        var deepStepCount = (stepCount + 1) / 2;
        List<IReadOnlyList<string>> rows = [];
        List<string> verdicts = [];
        foreach (var microBatchCount in options.MicroBatchCount is { } only ? [only] : new[] { 1, 4 })
        {
            var free = ReplicaPair.Run(Spec(CompressionKind.None, false, UnlimitedRate));
            // Each process sends as many bytes as its gradient has, both ways at once.
            var rate = free.SentBytes / ((free.Seconds - free.Exposed) * WantedShare / (1 - WantedShare));
            ReplicaResult? slowest = null;
            List<(string Name, double Share, double Throughput)> ways = [];
            foreach (var (kind, name, overlaps) in s_ways)
            {
                var result = ReplicaPair.Run(Spec(kind, overlaps, rate));
                slowest ??= result;
                ways.Add((name, result.Exposed / result.Seconds, slowest.Seconds / result.Seconds));
                rows.Add(Row(microBatchCount, rate, name, result, slowest));
            }

            verdicts.Add(Verdict(microBatchCount, ways));
            rows.AddRange(HiddenInBackward(microBatchCount, ReplicaSpec.DefaultLayerCount, free));
            rows.AddRange(HiddenInBackward(microBatchCount, DeepLayerCount, ReplicaPair.Run(Spec(CompressionKind.None, false, UnlimitedRate) with { LayerCount = DeepLayerCount, RoundCount = deepStepCount })));

            ReplicaSpec Spec(CompressionKind kind, bool overlaps, double bytesPerSecond) =>
                new(Trains: true, kind, overlaps, microBatchCount, stepCount, bytesPerSecond, IsTcp: false, options.IsQuick);
        }

        // A link on which all of the communication takes half as long as the window in which gradients become final: what of it is exposed?
        IEnumerable<IReadOnlyList<string>> HiddenInBackward(int microBatchCount, int layerCount, ReplicaResult free)
        {
            var rate = free.SentBytes / (free.Window / WindowOverCommunication);
            var (open, hidden) = (ReplicaPair.Run(Of(overlaps: false)), ReplicaPair.Run(Of(overlaps: true)));
            verdicts.Add(
                $"Overlap, m = {microBatchCount}, {layerCount} layers: {hidden.Exposed / open.Exposed:P0} of what nothing hides is exposed, {AllowedExposure:P0} at most wanted: {(hidden.Exposed <= AllowedExposure * open.Exposed ? "met" : "missed")}. "
                + $"The last micro-batch's backward lasted {hidden.Window / open.Exposed:F2} times the communication that nothing hides ({WindowOverCommunication:F0} wanted for the comparison).");
            foreach (var (result, name) in new[] { (open, $"none, not overlapped, {layerCount} layers, window 2 ×"), (hidden, $"none, {layerCount} layers, window 2 ×") })
                yield return Row(microBatchCount, rate, name, result, open);

            ReplicaSpec Of(bool overlaps) => new(Trains: true, CompressionKind.None, overlaps, microBatchCount, layerCount == DeepLayerCount ? deepStepCount : stepCount, rate, IsTcp: false, options.IsQuick, LayerCount: layerCount);
        }

        return new BenchReport(
            "replica-steps",
            "Training steps of two replicas over a slow link",
            $"6 layers × 256, context 128, vocabulary 2,048, fp32, micro-batches of 4 samples, one thread a process; two processes, each with the whole model and half of the micro-batches. The sending end of the link "
            + $"is throttled so that uncompressed communication that nothing hides takes about {WantedShare:P0} of the step. Exposed is the time from the end of the own backward to the end of the reduction. "
            + $"In the rows 'window {WindowOverCommunication:F0} ×' the link is as fast as it takes for all of the communication to last 1/{WindowOverCommunication:F0} of the last micro-batch's backward, in which gradients become final: there 'exposed ÷ unhidden' is to be 20 % at most, for this model and for one of {DeepLayerCount} layers ({deepStepCount} steps). "
            + $"Medians of {stepCount} steps; bytes of one direction at the socket.",
            ["m", "link MiB/s", "compression", "step ms", "exposed ms", "share of step", "exposed ÷ unhidden", "× throughput", "MiB a step", "× fewer bytes"], rows)
        {
            Remarks = [.. verdicts, "A share of 35 % that falls to 12 % is by itself worth a factor of (1 − 0.12) ÷ (1 − 0.35) = 1.35 in throughput."],
        };
    }

    /// <summary>One way, held against another.</summary>
    private static IReadOnlyList<string> Row(int microBatchCount, double rate, string name, ReplicaResult result, ReplicaResult slowest) =>
    [
        $"{microBatchCount}", $"{rate / (1 << 20):F1}", name, $"{result.Seconds * 1e3:F0}", $"{result.Exposed * 1e3:F0}", $"{result.Exposed / result.Seconds:P0}",
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
