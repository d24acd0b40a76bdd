using Pipeline.Bench.Reports;
using Pipeline.Reduction.Compression;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>How fast two processes add 64 MiB of gradient up, and how many bytes that takes.</summary>
internal static class ReplicaLinkSpeed
{
    private const double BytesPerMebibyte = 1 << 20;
    private const double Goal = 0.6;

    /// <summary>MiB a second: twice what Gloo is known for, wanted where the link carries it.</summary>
    private const double WantedRate = 2048;

    private const int LocalSteps = 32;

    private static readonly (CompressionKind Kind, string Name, string Goal)[] s_kinds =
    [
        (CompressionKind.None, "none", "1"), (CompressionKind.BFloat16, "bf16", "–"), (CompressionKind.Int8, "int8", "≥ 3.9"), (CompressionKind.Int4, "int4", "≥ 7.5"),
        (CompressionKind.OneBit, "one-bit", "–"), (CompressionKind.TopK, "top-k 1 %", "≥ 40 up"), (CompressionKind.PowerSgd, "power-sgd, rank 2", "–"),
    ];

    /// <summary>Measures bare sockets and all kinds.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        var roundCount = options.StepCount ?? (options.IsQuick ? 3 : 11);
        var results = s_kinds.Select(kind => (kind.Name, kind.Goal, Result: ReplicaPair.Run(new ReplicaSpec(
            Trains: false, kind.Kind, Overlaps: true, 1, roundCount, 0, IsTcp: options.WireKind == "tcp", options.IsQuick)))).ToArray();
        var plain = results[0].Result;
        var bare = RawExchange.Measure(checked((int)plain.GradientBytes), roundCount, options.WireKind == "tcp");
        var raw = bare.WallSeconds;
        var frames = ReplicaPair.Run(new ReplicaSpec(Trains: false, CompressionKind.None, Overlaps: true, 1, roundCount, 0, IsTcp: options.WireKind == "tcp", options.IsQuick, Way: ReplicaWay.FramesAlone));
        List<IReadOnlyList<string>> rows = [["bare sockets", $"{raw * 1e3:F1}", $"{bare.CpuSeconds * 1e3:F0}", $"{Rate(plain.GradientBytes, raw):F0}", "1.00", "", $"{plain.GradientBytes / BytesPerMebibyte:F2}", "", ""]];
        rows.Add(["frames alone", $"{frames.Seconds * 1e3:F1}", $"{frames.ProcessorSeconds * 1e3:F0}", $"{Rate(plain.GradientBytes, frames.Seconds):F0}", $"{raw / frames.Seconds:F2}", "", $"{frames.SentBytes / BytesPerMebibyte:F2}", "", ""]);
        rows.AddRange(results.Select(entry => (IReadOnlyList<string>)
        [
            entry.Name, $"{entry.Result.Seconds * 1e3:F1}", $"{entry.Result.ProcessorSeconds * 1e3:F0}", $"{Rate(plain.GradientBytes, entry.Result.Seconds):F0}", $"{raw / entry.Result.Seconds:F2}",
            entry.Name == "none" ? (raw / entry.Result.Seconds >= Goal ? $"≥ {Goal:F2} met" : $"≥ {Goal:F2} missed") : "",
            $"{entry.Result.SentBytes / BytesPerMebibyte:F2}", $"{(double)plain.SentBytes / entry.Result.SentBytes:F2}", entry.Goal,
        ]));
        // Of the rounds that do nothing there is nothing to time.
        var local = ReplicaPair.Run(new ReplicaSpec(Trains: false, CompressionKind.Int8, Overlaps: true, 1, 2 * LocalSteps, 0, IsTcp: options.WireKind == "tcp", options.IsQuick, LocalSteps));
        rows.Add([$"int8, every {LocalSteps} steps", "", "", "", "", "", $"{local.SentBytes / BytesPerMebibyte:F3}", $"{(double)plain.SentBytes / local.SentBytes:F1}", "≥ 100"]);
        return new BenchReport(
            "replica-link",
            "Two processes add a gradient up",
            $"{plain.GradientBytes / BytesPerMebibyte:F1} MiB of fp32 in each process, sharded: uncompressed each sends the other all of it, compressed half as its contribution and half as the answer, so that as many elements travel each way as the bare "
            + $"sockets carry, both ways at once. Contribution and answer are compressed alike, with error feedback; gathering, adding, compressing and restoring are part of the time. Bytes are counted at the socket, "
            + $"headers and receipts included, of one direction. Processor time is that of one process, all threads. Medians of {roundCount} rounds after {ReplicaSpec.WarmUpCount}; the two processes begin each round together.",
            ["what", "ms", "processor ms", "MiB of gradient/s", "share of bare", "goal", "MiB sent each way", "none ÷ bytes", "goal"], rows)
        {
            Remarks = ["Frames alone: as many bytes each way in frames of 1 MiB with checksums, over the links that runs use, and nothing added up: what of the difference to bare sockets is the link's. "
                    + $"Against them the uncompressed reduction has a share of {frames.Seconds / plain.Seconds:F2}; the goal is held against bare sockets.",
                $"Wanted besides: {WantedRate:F0} MiB of gradient a second uncompressed, where bare sockets carry it; they carry {Rate(plain.GradientBytes, raw):F0}, the reduction {Rate(plain.GradientBytes, plain.Seconds):F0}.",
                "Top-k is exact in what it sends, and its answer holds 1 % of each shard's sum again: the last column counts contribution and answer together.",
                "Steps between two meetings of local steps send no tensor to other replicas; the notes that say what a step amounts to, some hundred bytes a stage, are not on these sockets."],
        };
    }

    private static double Rate(long bytes, double seconds) => bytes / BytesPerMebibyte / seconds;
}
