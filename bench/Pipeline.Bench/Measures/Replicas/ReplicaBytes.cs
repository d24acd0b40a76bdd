using Pipeline.Bench.Reports;
using Pipeline.Reduction.Compression;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>How many bytes two replicas of the preset gpt-nano send each other in a step, by compression, counted at their sockets. Nothing is timed.</summary>
internal static class ReplicaBytes
{
    private const int LocalSteps = 32;
    private const double BytesPerKibibyte = 1024;

    private static readonly (CompressionKind Kind, string Name, int Every, string Goal)[] s_ways =
    [
        (CompressionKind.None, "none", 1, ""), (CompressionKind.BFloat16, "bf16", 1, ""), (CompressionKind.Int8, "int8", 1, "≥ 3.9"), (CompressionKind.Int4, "int4", 1, "≥ 7.5"),
        (CompressionKind.OneBit, "one-bit", 1, ""), (CompressionKind.TopK, "top-k 1 %", 1, "≥ 40 up"), (CompressionKind.PowerSgd, "power-sgd, rank 2", 1, ""),
        (CompressionKind.Int8, $"int8, every {LocalSteps} steps", LocalSteps, "≥ 100"),
    ];

    /// <summary>Counts.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        var results = s_ways.Select(way => (way.Name, way.Goal, Result: Count(way.Kind, way.Every))).ToArray();
        var plain = results[0].Result;
        return new BenchReport(
            "replica-bytes",
            "Bytes that two replicas of gpt-nano send in a step",
            $"The gradient of the preset gpt-nano, {plain.GradientBytes / BytesPerKibibyte:F0} KiB of fp32, between two processes over Unix sockets, sharded, with numbers as gradients have them; both directions alike. Uncompressed each "
            + $"sends the other all of it; compressed, half as its contribution and half as its answer, compressed alike with error feedback. At the socket: everything that one process writes, headers, checksums and receipts included, in the mean of the rounds after the first ones.",
            ["compression", "KiB at the socket", "none ÷ that", "goal", "of it contributions", "fp32 ÷ that", "of it answers", "fp32 ÷ that"],
            [
                .. results.Select(entry => (IReadOnlyList<string>)
                [
                    entry.Name, $"{entry.Result.SentBytes / BytesPerKibibyte:F1}", Ratio(plain.SentBytes, entry.Result.SentBytes), entry.Goal,
                    .. Part(entry.Result.Tensors.Contributions), .. Part(entry.Result.Tensors.Answers),
                ]),
            ])
        {
            Remarks = ["A step of local steps between two meetings sends no tensor to other replicas; the notes that say what a step amounts to, some hundred bytes a stage, are not on these sockets."],
        };

        // Half of the gradient is contributed, and half of the sums are answered.
        string[] Part(long bytes) => bytes == 0 || bytes == plain.GradientBytes ? [$"{bytes / BytesPerKibibyte:F1}", ""] : [$"{bytes / BytesPerKibibyte:F1}", Ratio(plain.GradientBytes / 2, bytes)];

        ReplicaResult Count(CompressionKind kind, int every) =>
            ReplicaPair.Run(new ReplicaSpec(Trains: false, kind, Overlaps: true, 1, every == 1 ? options.StepCount ?? 8 : 2 * every, 0, IsTcp: false, IsQuick: false, every, ReplicaWay.Nano));
    }

    private static string Ratio(long of, long by) => $"{(double)of / Math.Max(1, by):F2}";
}
