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
        (CompressionKind.BFloat16, "bf16", "–"), (CompressionKind.Int8, "int8", "≥ 3.9"), (CompressionKind.Int4, "int4", "≥ 7.5"),
        (CompressionKind.OneBit, "one-bit", "–"), (CompressionKind.TopK, "top-k 1 %", "≥ 40 up"), (CompressionKind.PowerSgd, "power-sgd, rank 2", "–"),
    ];

    /// <summary>Measures bare sockets, the uncompressed reduction and what it consists of in turns, then all kinds of compression.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        var roundCount = options.StepCount ?? (options.IsQuick ? 3 : 11);
        var isTcp = options.WireKind == "tcp";
        var spec = new ReplicaSpec(Trains: false, CompressionKind.None, Overlaps: true, 1, roundCount, 0, isTcp, options.IsQuick);
        var turns = Enumerable.Range(0, options.PairCount ?? 1).Select(_ => Turn.Take(spec, roundCount)).ToArray();
        var gradientBytes = turns[0].None.GradientBytes;
        // By the share of bare sockets: a machine's speed drifts from turn to turn.
        var (raw, none) = (Distribution.Median(turns.Select(turn => turn.Bare.WallSeconds)), turns[0].None);
        List<IReadOnlyList<string>> rows = [["bare sockets", $"{raw * 1e3:F1}", $"{turns.Average(turn => turn.Bare.CpuSeconds) * 1e3:F0}", Rate(gradientBytes, raw), "1.00", "", $"{gradientBytes / BytesPerMebibyte:F2}", "", ""]];
        rows.Add(Row("frames alone", turn => turn.Frames, "", ""));
        rows.Add(Row("none", turn => turn.None, Verdict(turn => turn.None), "1"));
        rows.Add(Row("none, copied", turn => turn.Copied, "", ""));
        rows.Add(Row("none, kept", turn => turn.Kept, Verdict(turn => turn.Kept), ""));
        rows.Add(Row("none, without checksums", turn => turn.Unchecked, Verdict(turn => turn.Unchecked), ""));
        if (options.WireKind != "none") rows.AddRange(Compressed(spec, turns[^1]));
        return new BenchReport(
            "replica-link",
            "Two processes add a gradient up",
            $"{gradientBytes / BytesPerMebibyte:F1} MiB of fp32 in each process, sharded: each sends the other half of it as its contribution and half as the answer, so that as many elements travel each way as the bare "
            + $"sockets carry, both ways at once, from and to memory as large, which was written before. Contribution and answer are compressed alike, with error feedback; gathering, adding, compressing and restoring are part of the time. Bytes are counted at the socket, "
            + $"headers and receipts included, of one direction. Processor time is that of one process, all threads. Medians of {roundCount} rounds after {spec.WarmUpCount} that warm up, {turns.Length} times in turns; the two processes begin each round together.",
            ["what", "ms", "processor ms", "MiB of gradient/s", "share of bare", "goal", "MiB sent each way", "none ÷ bytes", "goal"], rows)
        {
            Remarks =
            [
                "Frames alone: as many bytes each way in frames of 1 MiB with checksums, over the links that runs use, and nothing added up: what of the difference to bare sockets is the link's. "
                    + $"Against them the uncompressed reduction has a share of {Distribution.Median(turns.Select(turn => turn.Frames.Seconds / turn.None.Seconds)):F2}; the goal is held against bare sockets, which have no checksums.",
                "None, copied: each piece is copied before it is sent, as for a receiver in the same process or with invariant sums; otherwise it is sent from where the gradient lies.",
                "None, kept: what was sent stays for a loss until the round after the next begins, as in any run over several processes, here of one that copies its state after each step; in the other rows nothing is kept.",
                $"Wanted besides: {WantedRate:F0} MiB of gradient a second uncompressed, where bare sockets carry it; they carry {Rate(gradientBytes, raw)}, the reduction {Rate(gradientBytes, Seconds(turn => turn.None))}.",
                "Top-k is exact in what it sends, and its answer holds 1 % of each shard's sum again: the last column counts contribution and answer together.",
                "Steps between two meetings of local steps send no tensor to other replicas; the notes that say what a step amounts to, some hundred bytes a stage, are not on these sockets.",
                $"Shares by turn, none: {string.Join(", ", turns.Select(turn => $"{turn.Bare.WallSeconds / turn.None.Seconds:F2}"))}; kept: {string.Join(", ", turns.Select(turn => $"{turn.Bare.WallSeconds / turn.Kept.Seconds:F2}"))}; without checksums: {string.Join(", ", turns.Select(turn => $"{turn.Bare.WallSeconds / turn.Unchecked.Seconds:F2}"))}.",
            ],
        };

        double Seconds(Func<Turn, ReplicaResult> of) => Distribution.Median(turns.Select(turn => of(turn).Seconds));

        double Share(Func<Turn, ReplicaResult> of) => Distribution.Median(turns.Select(turn => turn.Bare.WallSeconds / of(turn).Seconds));

        string Verdict(Func<Turn, ReplicaResult> of) => Share(of) >= Goal ? $"≥ {Goal:F2} met" : $"≥ {Goal:F2} missed";

        IReadOnlyList<string> Row(string name, Func<Turn, ReplicaResult> of, string verdict, string goal) =>
        [
            name, $"{Seconds(of) * 1e3:F1}", $"{turns.Average(turn => of(turn).ProcessorSeconds) * 1e3:F0}", Rate(gradientBytes, Seconds(of)), $"{Share(of):F2}", verdict,
            $"{of(turns[0]).SentBytes / BytesPerMebibyte:F2}", $"{(double)none.SentBytes / of(turns[0]).SentBytes:F2}", goal,
        ];
    }

    private static IEnumerable<IReadOnlyList<string>> Compressed(ReplicaSpec spec, Turn turn)
    {
        foreach (var (kind, name, goal) in s_kinds)
        {
            var result = ReplicaPair.Run(spec with { Kind = kind });
            yield return
            [
                name, $"{result.Seconds * 1e3:F1}", $"{result.ProcessorSeconds * 1e3:F0}", Rate(turn.None.GradientBytes, result.Seconds), $"{turn.Bare.WallSeconds / result.Seconds:F2}", "",
                $"{result.SentBytes / BytesPerMebibyte:F2}", $"{(double)turn.None.SentBytes / result.SentBytes:F2}", goal,
            ];
        }

        // Of the rounds that do nothing there is nothing to time.
        var local = ReplicaPair.Run(spec with { Kind = CompressionKind.Int8, RoundCount = 2 * LocalSteps, Every = LocalSteps });
        yield return [$"int8, every {LocalSteps} steps", "", "", "", "", "", $"{local.SentBytes / BytesPerMebibyte:F3}", $"{(double)turn.None.SentBytes / local.SentBytes:F1}", "≥ 100"];
    }

    private static string Rate(long bytes, double seconds) => $"{bytes / BytesPerMebibyte / seconds:F0}";

    /// <summary>Everything uncompressed, one after the other.</summary>
    /// <param name="Bare">Bare sockets.</param>
    /// <param name="None">The reduction.</param>
    /// <param name="Copied">That copies what it sends.</param>
    /// <param name="Kept">That keeps what it sends.</param>
    /// <param name="Unchecked">Without checksums.</param>
    /// <param name="Frames">The links alone.</param>
    private sealed record Turn(Elapsed Bare, ReplicaResult None, ReplicaResult Copied, ReplicaResult Kept, ReplicaResult Unchecked, ReplicaResult Frames)
    {
        internal static Turn Take(ReplicaSpec spec, int roundCount)
        {
            var none = ReplicaPair.Run(spec);
            var bare = RawExchange.Measure(checked((int)none.GradientBytes), roundCount, spec.IsTcp);
            return new Turn(
                bare, none, ReplicaPair.Run(spec with { Lends = false }), ReplicaPair.Run(spec with { Keeps = true }), ReplicaPair.Run(spec with { HasChecksums = false }),
                ReplicaPair.Run(spec with { Way = ReplicaWay.FramesAlone }));
        }
    }
}
