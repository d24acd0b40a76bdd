using System.Collections.Immutable;
using System.Globalization;
using Pipeline.Bench.Reports;
using Pipeline.Schedules;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// What the simulator expects of up to 128 nodes: data parallelism alone by topology and compression, against replicas of pipelines. Nothing is
/// measured here: every number follows from the assumptions that the report states.
/// </summary>
internal static class ReplicaScale
{
    private const int LayerCount = 24;
    private const int Width = 1024;
    private const int TokensPerMicroBatch = 4 * 1024;
    private const int MicroBatchCount = 512;
    private const double NodeFlops = 2e12;
    private const double LinkBytesPerSecond = 1.25e8;
    private const double LinkLatency = 2e-4;
    private const double BytesPerGradient = 4;
    private const double BytesPerActivation = 2;

    /// <summary>Replicas of a node that has several, which share its link and reach each other as fast as processes of a machine do.</summary>
    private const int DevicesPerNode = 4;

    private const double WithinBytesPerSecond = 2e9;

    private const int LocalSteps = 32;

    /// <summary>
    /// Uncompressed bytes ÷ bytes, contribution and answer alike, as `bench replica-link` counts them, power-sgd's for matrices of this width; and bytes of fp32 that a core compresses and restores a second, as `bench reduction` finds them,
    /// rounded down.
    /// </summary>
    private static readonly Compression[] s_compressions =
    [
        new("none", 1, double.PositiveInfinity, double.PositiveInfinity), new("bf16", 2, 2.5e9, 7e9), new("int8", 3.94, 2.5e9, 7e9), new("int4", 7.76, 2.5e9, 7e9), new("one-bit", 31, 2.5e9, 7e9),
        new("top-k 1 %", 75, 0.6e9, 7e9), new("power-sgd, rank 2", 12.0 * Width / 32, 0.6e9, 1.5e9), new($"int8, every {LocalSteps} steps", 3.94, 2.5e9, 7e9, LocalSteps),
    ];

    /// <summary>Simulates.</summary>
    public static BenchReport Predict()
    {
        List<IReadOnlyList<string>> rows = [];
        List<(double Gain, double Utilisation, string Compression, int NodeCount, int StageCount)> gains = [];
        foreach (var nodeCount in new[] { 2, 4, 8, 16, 32, 64, 128 })
        {
            foreach (var compression in s_compressions)
            {
                var (star, alone) = (Outcome(nodeCount, 1, Star, compression), Outcome(nodeCount, 1, Sharded, compression));
                var (flat, grouped) = (Outcome(nodeCount, 1, SharedLinks, compression), Outcome(nodeCount, 1, Grouped, compression));
                var best = new[] { 2, 4, 8 }.Where(stageCount => stageCount <= nodeCount).Select(stageCount => Outcome(nodeCount, stageCount, Sharded, compression)).MaxBy(expected => expected.Throughput);
                gains.Add((best.Throughput / alone.Throughput, best.Utilisation, compression.Name, nodeCount, best.StageCount));
                rows.Add(
                [
                    Text($"{nodeCount}"), compression.Name, Cell(star), Cell(alone), Cell(flat), Cell(grouped), Text($"{nodeCount / best.StageCount} × {best.StageCount}"), Cell(best), Text($"{best.Throughput / alone.Throughput:F2}"),
                ]);
            }
        }

        return new BenchReport(
            "replica-scale",
            "Simulated: data parallelism alone and replicas of pipelines, 2 to 128 nodes",
            $"Nothing here was measured. {LayerCount} layers × {Width}, {MicroBatchCount} micro-batches of {TokensPerMicroBatch} tokens a step, nodes of {NodeFlops / 1e12:F0} TFLOP/s on links of {LinkBytesPerSecond * 8 / 1e9:F0} Gbit/s each way "
            + $"and {LinkLatency * 1e6:F0} µs; gradients in fp32 before compression, activations in bf16; 1F1B. A reduction begins with a stage's last leaf: what overlaps with backward inside the last micro-batch is not counted. "
            + $"Compressing and restoring take a core {string.Join(", ", s_compressions.Skip(1).Select(kind => Text($"{kind.CompressedPerSecond / 1e9:F1} and {kind.RestoredPerSecond / 1e9:F1} GB/s for {kind.Name}")))}; what replicas exchange every {LocalSteps} steps "
            + $"is spread over these. The two columns of {DevicesPerNode} replicas a node have nodes of the same speed whose {DevicesPerNode} devices share the node's link and reach each other with "
            + $"{WithinBytesPerSecond / 1e9:F0} GB/s: sharded over all of them, and hierarchical with a leader a node. Utilisation, in brackets, is the ideal time of the computation ÷ the step's.",
            [
                "nodes", "compression", "coordinator, tok/s", "sharded", $"sharded, {DevicesPerNode} replicas a node", $"hierarchical, {DevicesPerNode} a node",
                "replicas × stages", "tok/s", "÷ sharded",
            ], rows)
        {
            Remarks =
            [
                "Data parallelism alone in the first four columns of tokens a second: one replica a node, or four; the last columns are replicas of pipelines, sharded, with the number of stages among 2, 4, 8 that is fastest.",
                .. gains.GroupBy(gain => gain.Compression).Select(kind => Verdict(kind.Key, [.. kind.Select(gain => (gain.Gain, gain.Utilisation, gain.NodeCount, gain.StageCount))])),
                Text($"In {gains.Count(gain => gain.Gain > 1)} of {gains.Count} cases they are faster. Reference figure of the literature: 3.2 times at a utilisation of 78 %."),
            ],
        };
    }

    /// <summary>Where replicas of pipelines are faster than data parallelism alone, and by how much.</summary>
    private static string Verdict(string compression, IReadOnlyList<(double Gain, double Utilisation, int NodeCount, int StageCount)> gains)
    {
        var most = gains.MaxBy(gain => gain.Gain);
        var faster = gains.Where(gain => gain.Gain > 1).Select(gain => Text($"{gain.NodeCount}")).ToArray();
        return Text($"{compression}: replicas of pipelines beat data parallelism alone at {(faster.Length == 0 ? "no number of" : string.Join(", ", faster))} nodes, most at {most.NodeCount} ({most.NodeCount / most.StageCount} × {most.StageCount}): {most.Gain:F2} times, at a utilisation of {most.Utilisation:P0}.");
    }

    private static StarReduction Star(int nodeCount, ImmutableArray<long> bytes) => new StarReduction(nodeCount, bytes, LinkBytesPerSecond, LinkLatency);

    private static ShardedReduction Sharded(int replicaCount, ImmutableArray<long> bytes) => new ShardedReduction(replicaCount, bytes, LinkBytesPerSecond, LinkLatency);

    /// <summary>Each replica sends 2(d − g)/d of the gradient out of its node of g replicas, and these share a link.</summary>
    private static ShardedReduction SharedLinks(int nodeCount, ImmutableArray<long> bytes)
    {
        var count = nodeCount * DevicesPerNode;
        var rate = LinkBytesPerSecond / DevicesPerNode * (count - 1) / (count - DevicesPerNode);
        return new ShardedReduction(count, bytes, rate, LinkLatency);
    }

    private static HierarchicalReduction Grouped(int nodeCount, ImmutableArray<long> bytes) =>
        new HierarchicalReduction(nodeCount, DevicesPerNode, bytes, WithinBytesPerSecond, LinkBytesPerSecond, LinkLatency);

    private static Expected Outcome(int nodeCount, int stageCount, Func<int, ImmutableArray<long>, IReductionModel> reduction, Compression compression)
    {
        var replicaCount = nodeCount / stageCount;
        var perLayer = 12.0 * Width * Width;
        // Two products forward, four backward, of each parameter and token.
        var forward = 2 * perLayer * TokensPerMicroBatch * LayerCount / stageCount / NodeFlops;
        var plainBytes = perLayer * LayerCount / stageCount * BytesPerGradient;
        ImmutableArray<long> bytes = [.. Enumerable.Repeat((long)(plainBytes / compression.Ratio), stageCount)];
        ImmutableArray<long> outputs = [.. Enumerable.Repeat((long)(TokensPerMicroBatch * Width * BytesPerActivation), stageCount)];
        var schedule = StepEndPass.Apply(ScheduleCatalog.Generate("1f1b", stageCount, MicroBatchCount / replicaCount), []);
        var link = new RankLink(LinkLatency, LinkBytesPerSecond, 0);
        var step = Simulator.Run(schedule, new SimulationModel
        {
            Costs = ActionCosts.Uniform(stageCount, forward, 2 * forward),
            Links = stageCount == 1 ? null : LinkModel.OfNodes(stageCount, 1, link, link, outputs),
            Reductions = new WithCompression(reduction(replicaCount, bytes), compression, replicaCount == 1 ? 0 : plainBytes),
        });
        var ideal = 6 * perLayer * LayerCount * TokensPerMicroBatch * MicroBatchCount / (nodeCount * NodeFlops);
        return new Expected(stageCount, TokensPerMicroBatch * (double)MicroBatchCount / step.Duration, ideal / step.Duration);
    }

    private static string Cell(Expected expected) => Text($"{expected.Throughput:F0} ({expected.Utilisation:P0})");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>What is expected of one way to use the nodes.</summary>
    private readonly record struct Expected(int StageCount, double Throughput, double Utilisation);

    /// <summary>
    /// A reduction that compresses: each replica turns about a gradient's worth into bytes, what it contributes and its share of the sums, and two
    /// back, what others contribute to its share and their sums.
    /// </summary>
    /// <param name="Inner">The reduction of what travels.</param>
    /// <param name="Compression">How fast it is, and how often replicas meet.</param>
    /// <param name="PlainBytes">fp32 bytes of a stage's gradient; 0 where nothing is compressed.</param>
    private sealed record WithCompression(IReductionModel Inner, Compression Compression, double PlainBytes) : IReductionModel
    {
        /// <inheritdoc/>
        public double Cost(int stage, int rank) =>
            (Inner.Cost(stage, rank) + PlainBytes / Compression.CompressedPerSecond + 2 * PlainBytes / Compression.RestoredPerSecond) / Compression.Every;
    }

    /// <summary>A kind of compression.</summary>
    /// <param name="Name">What it is called.</param>
    /// <param name="Ratio">Uncompressed bytes ÷ bytes.</param>
    /// <param name="CompressedPerSecond">Bytes of fp32 that a core compresses.</param>
    /// <param name="RestoredPerSecond">Bytes of fp32 that a core restores.</param>
    /// <param name="Every">Steps from one exchange to the next.</param>
    private sealed record Compression(string Name, double Ratio, double CompressedPerSecond, double RestoredPerSecond, int Every = 1);
}
