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

    /// <summary>Bytes of fp32 a second and core, as `bench reduction` finds them: the slower of the kinds.</summary>
    private const double CompressedPerSecond = 2.5e9;

    private const double RestoredPerSecond = 7e9;

    /// <summary>Uncompressed bytes ÷ bytes, contribution and answer alike.</summary>
    private static readonly (string Name, double Ratio)[] s_compressions = [("none", 1), ("bf16", 2), ("int8", 3.94), ("int4", 7.76), ("one-bit", 31)];

    /// <summary>Simulates.</summary>
    public static BenchReport Predict()
    {
        List<IReadOnlyList<string>> rows = [];
        List<(double Gain, double Utilisation, string What)> gains = [];
        foreach (var nodeCount in new[] { 2, 4, 8, 16, 32, 64, 128 })
        {
            foreach (var (compression, ratio) in s_compressions)
            {
                var (star, alone) = (Outcome(nodeCount, 1, Star, ratio), Outcome(nodeCount, 1, Sharded, ratio));
                var (flat, grouped) = (Outcome(nodeCount, 1, SharedLinks, ratio), Outcome(nodeCount, 1, Grouped, ratio));
                var best = new[] { 2, 4, 8 }.Where(stageCount => stageCount <= nodeCount).Select(stageCount => Outcome(nodeCount, stageCount, Sharded, ratio)).MaxBy(expected => expected.Throughput);
                gains.Add((best.Throughput / alone.Throughput, best.Utilisation, Text($"{nodeCount} nodes, {compression}, {nodeCount / best.StageCount} × {best.StageCount}")));
                rows.Add(
                [
                    Text($"{nodeCount}"), compression, Cell(star), Cell(alone), Cell(flat), Cell(grouped), Text($"{nodeCount / best.StageCount} × {best.StageCount}"), Cell(best), Text($"{best.Throughput / alone.Throughput:F2}"),
                ]);
            }
        }

        var (most, mostUncompressed) = (gains.MaxBy(gain => gain.Gain), gains.Where(gain => gain.What.Contains(", none,", StringComparison.Ordinal)).MaxBy(gain => gain.Gain));
        return new BenchReport(
            "replica-scale",
            "Simulated: data parallelism alone and replicas of pipelines, 2 to 128 nodes",
            $"Nothing here was measured. {LayerCount} layers × {Width}, {MicroBatchCount} micro-batches of {TokensPerMicroBatch} tokens a step, nodes of {NodeFlops / 1e12:F0} TFLOP/s on links of {LinkBytesPerSecond * 8 / 1e9:F0} Gbit/s each way "
            + $"and {LinkLatency * 1e6:F0} µs; gradients in fp32 before compression, activations in bf16; 1F1B. A reduction begins with a stage's last leaf: what overlaps with backward inside the last micro-batch is not counted. "
            + $"Compressing and restoring take a core {CompressedPerSecond / 1e9:F1} and {RestoredPerSecond / 1e9:F1} GB/s. The two columns of {DevicesPerNode} replicas a node have nodes of the same speed whose {DevicesPerNode} devices share the node's link and reach each other with "
            + $"{WithinBytesPerSecond / 1e9:F0} GB/s: sharded over all of them, and hierarchical with a leader a node. Utilisation, in brackets, is the ideal time of the computation ÷ the step's.",
            [
                "nodes", "compression", "coordinator, tok/s", "sharded", $"sharded, {DevicesPerNode} replicas a node", $"hierarchical, {DevicesPerNode} a node",
                "replicas × stages", "tok/s", "÷ sharded",
            ], rows)
        {
            Remarks =
            [
                "Data parallelism alone in the first four columns of tokens a second: one replica a node, or four; the last columns are replicas of pipelines, sharded, with the number of stages among 2, 4, 8 that is fastest.",
                Text($"Replicas of pipelines beat data parallelism alone at most {most.Gain:F2} times ({most.What}, utilisation {most.Utilisation:P0}), uncompressed {mostUncompressed.Gain:F2} times ({mostUncompressed.What}, utilisation {mostUncompressed.Utilisation:P0})."),
                Text($"In {gains.Count(gain => gain.Gain > 1)} of {gains.Count} cases they are faster. Reference figure of the literature: 3.2 times at a utilisation of 78 %."),
            ],
        };
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

    private static Expected Outcome(int nodeCount, int stageCount, Func<int, ImmutableArray<long>, IReductionModel> reduction, double ratio)
    {
        var replicaCount = nodeCount / stageCount;
        var perLayer = 12.0 * Width * Width;
        // Two products forward, four backward, of each parameter and token.
        var forward = 2 * perLayer * TokensPerMicroBatch * LayerCount / stageCount / NodeFlops;
        var plainBytes = perLayer * LayerCount / stageCount * BytesPerGradient;
        ImmutableArray<long> bytes = [.. Enumerable.Repeat((long)(plainBytes / ratio), stageCount)];
        ImmutableArray<long> outputs = [.. Enumerable.Repeat((long)(TokensPerMicroBatch * Width * BytesPerActivation), stageCount)];
        var schedule = StepEndPass.Apply(ScheduleCatalog.Generate("1f1b", stageCount, MicroBatchCount / replicaCount), []);
        var link = new RankLink(LinkLatency, LinkBytesPerSecond, 0);
        var step = Simulator.Run(schedule, new SimulationModel
        {
            Costs = ActionCosts.Uniform(stageCount, forward, 2 * forward),
            Links = stageCount == 1 ? null : LinkModel.OfNodes(stageCount, 1, link, link, outputs),
            Reductions = new WithCompression(reduction(replicaCount, bytes), ratio == 1 || replicaCount == 1 ? 0 : plainBytes),
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
    /// <param name="PlainBytes">fp32 bytes of a stage's gradient; 0 where nothing is compressed.</param>
    private sealed record WithCompression(IReductionModel Inner, double PlainBytes) : IReductionModel
    {
        /// <inheritdoc/>
        public double Cost(int stage, int rank) => Inner.Cost(stage, rank) + PlainBytes / CompressedPerSecond + 2 * PlainBytes / RestoredPerSecond;
    }
}
