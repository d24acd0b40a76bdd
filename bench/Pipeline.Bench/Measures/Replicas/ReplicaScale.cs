using System.Collections.Immutable;
using Pipeline.Bench.Reports;
using Pipeline.Schedules;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// What the simulator expects of up to 128 nodes: data parallelism alone against replicas of pipelines, by topology and compression. Nothing is
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

    private static readonly (string Name, double Ratio)[] s_compressions = [("none", 1), ("int8", 3.94), ("int4", 7.76)];

    /// <summary>Simulates.</summary>
    public static BenchReport Predict()
    {
        List<IReadOnlyList<string>> rows = [];
        foreach (var nodeCount in new[] { 2, 4, 8, 16, 32, 64, 128 })
        {
            foreach (var (compression, ratio) in s_compressions)
            {
                var (alone, best) = (Best(nodeCount, ratio, ratio == 1 ? ["coordinator", "sharded"] : ["sharded"], [1]), Best(nodeCount, ratio, ["sharded"], [2, 4, 8]));
                var star = Outcome(nodeCount, 1, "coordinator", ratio);
                rows.Add(
                [
                    $"{nodeCount}", compression, $"{star.Throughput:F0}", $"{alone.Throughput:F0}", $"{alone.Utilisation:P0}",
                    best is { StageCount: > 0 } ? $"{nodeCount / best.StageCount} × {best.StageCount}" : "–", $"{best.Throughput:F0}", $"{best.Utilisation:P0}", $"{best.Throughput / alone.Throughput:F2}",
                ]);
            }
        }

        return new BenchReport(
            "replica-scale",
            "Simulated: data parallelism alone and replicas of pipelines, 2 to 128 nodes",
            $"Nothing here was measured. {LayerCount} layers × {Width}, {MicroBatchCount} micro-batches of {TokensPerMicroBatch} tokens a step, nodes of {NodeFlops / 1e12:F0} TFLOP/s on links of {LinkBytesPerSecond * 8 / 1e9:F0} Gbit/s each way "
            + $"and {LinkLatency * 1e6:F0} µs; gradients in fp32 before compression, activations in bf16; 1F1B. A reduction begins with a stage's last leaf: what overlaps with backward inside the last micro-batch is not counted, "
            + "nor is the time that compressing takes. Utilisation is the ideal time of the computation ÷ the step's.",
            ["nodes", "compression", "coordinator, tok/s", "data alone, tok/s", "utilisation", "replicas × stages", "tok/s", "utilisation", "gain"], rows)
        {
            Remarks = ["data alone: the better topology of those named; coordinator: one reducer for all, p = 1."],
        };
    }

    private static Expected Best(int nodeCount, double ratio, string[] topologies, int[] stageCounts) => stageCounts
        .Where(stageCount => stageCount <= nodeCount).SelectMany(stageCount => topologies.Select(topology => Outcome(nodeCount, stageCount, topology, ratio)))
        .DefaultIfEmpty(new Expected(0, 0, 0)).MaxBy(expected => expected.Throughput);

    private static Expected Outcome(int nodeCount, int stageCount, string topology, double ratio)
    {
        var replicaCount = nodeCount / stageCount;
        var perLayer = 12.0 * Width * Width;
        // Two products forward, four backward, of each parameter and token.
        var forward = 2 * perLayer * TokensPerMicroBatch * LayerCount / stageCount / NodeFlops;
        ImmutableArray<long> bytes = [.. Enumerable.Repeat((long)(perLayer * LayerCount / stageCount * BytesPerGradient / ratio), stageCount)];
        ImmutableArray<long> outputs = [.. Enumerable.Repeat((long)(TokensPerMicroBatch * Width * BytesPerActivation), stageCount)];
        var schedule = StepEndPass.Apply(ScheduleCatalog.Generate("1f1b", stageCount, MicroBatchCount / replicaCount), []);
        IReductionModel reductions = topology == "coordinator"
            ? new StarReduction(replicaCount, bytes, LinkBytesPerSecond, LinkLatency)
            : new ShardedReduction(replicaCount, bytes, LinkBytesPerSecond, LinkLatency);
        var link = new RankLink(LinkLatency, LinkBytesPerSecond, 0);
        var step = Simulator.Run(schedule, new SimulationModel
        {
            Costs = ActionCosts.Uniform(stageCount, forward, 2 * forward),
            Links = stageCount == 1 ? null : LinkModel.OfNodes(stageCount, 1, link, link, outputs),
            Reductions = reductions,
        });
        var ideal = 6 * perLayer * LayerCount * TokensPerMicroBatch * MicroBatchCount / (nodeCount * NodeFlops);
        return new Expected(stageCount, TokensPerMicroBatch * (double)MicroBatchCount / step.Duration, ideal / step.Duration);
    }

    /// <summary>What is expected of one way to use the nodes.</summary>
    private readonly record struct Expected(int StageCount, double Throughput, double Utilisation);
}
