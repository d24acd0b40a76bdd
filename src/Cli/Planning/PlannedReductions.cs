using System.Collections.Immutable;
using System.Diagnostics;
using Pipeline.Cli.Configuration;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>What adding gradients up over a run's replicas will take, from its settings.</summary>
internal static class PlannedReductions
{
    private const int ProbeLength = 2 << 20;
    private const int ProbeRounds = 5;

    // What travels through the memory of one process, contributions (of two replicas that compress nothing there are no others) and answers, is copied out by who sends it
    // and added or put in its place by who takes it: two passes, each as long as a sum of as many bytes.
    private const double PassesOfOneSum = 2;

    private static readonly Lazy<double> s_sumSpeed = new(MeasureSum);

    /// <summary>The reduction of a run with replicas over links; null with one replica.</summary>
    /// <param name="settings">Topology, compression, replicas.</param>
    /// <param name="bytesPerSecond">Of each replica's link, each way.</param>
    /// <param name="within">Inside a group of replicas.</param>
    /// <param name="latency">Of a hop.</param>
    public static Func<ImmutableArray<long>, IReductionModel>? Over(RunSettings settings, double bytesPerSecond, double within, double latency)
    {
        var (replicaCount, reduction) = (settings.ReplicasToReckonWith, settings.Reduction);
        if (replicaCount == 1) return null;
        var ratio = Ratio(settings);
        if (settings.Step.ReplicaCount == 1) return gradients => new RingReduction(replicaCount, gradients, bytesPerSecond, latency);
        return reduction.Topology switch
        {
            ReductionTopology.Hierarchical => gradients => new HierarchicalReduction(
                (replicaCount + reduction.GroupSize - 1) / reduction.GroupSize, Math.Min(reduction.GroupSize, replicaCount), Compressed(gradients), within, bytesPerSecond, latency),
            ReductionTopology.Coordinator => gradients => new StarReduction(replicaCount, Compressed(gradients), bytesPerSecond, latency),
            _ => gradients => new ShardedReduction(replicaCount, Compressed(gradients), bytesPerSecond, latency),
        };

        ImmutableArray<long> Compressed(ImmutableArray<long> gradients) => [.. gradients.Select(bytes => (long)(bytes / ratio))];
    }

    /// <summary>That of replicas in one process, at the speed at which this machine adds.</summary>
    public static Func<ImmutableArray<long>, IReductionModel>? Here(RunSettings settings) => settings.Step.ReplicaCount == 1
        ? null
        : gradients => new ShardedReduction(settings.Step.ReplicaCount, gradients, s_sumSpeed.Value / PassesOfOneSum, 0);

    /// <summary>fp32 bytes ÷ bytes that travel, contribution and answer together. Of power-sgd that of a model's square-ish matrices.</summary>
    private static double Ratio(RunSettings settings) =>
        2 / (1 / Of(settings.Reduction.Contributions, settings) + 1 / Of(settings.Reduction.Answers, settings));

    private static double Of(CompressionSettings compression, RunSettings settings) => compression.Kind switch
    {
        CompressionKind.None => 1,
        CompressionKind.TopK => 4 / (compression.Share * 5.3),
        CompressionKind.PowerSgd => Math.Max(1, settings.Model.Width * settings.Model.MlpRatio / (compression.Rank * (1 + settings.Model.MlpRatio))),
        _ => 4.0 * ProbeLength / compression.Create(ProbeLength, [], 0).MaxByteCount(ProbeLength),
    };

    private static double MeasureSum()
    {
        using FloatBuffer left = new(ProbeLength), right = new(ProbeLength);
        left.Span.Clear();
        right.Span.Clear();
        var best = TimeSpan.MaxValue;
        for (var round = 0; round < ProbeRounds; round++)
        {
            var start = Stopwatch.GetTimestamp();
            SpanSum.Add(left.Span, right.Span, right.Span);
            var elapsed = Stopwatch.GetElapsedTime(start);
            if (elapsed < best) best = elapsed;
        }

        return (double)ProbeLength * sizeof(float) / best.TotalSeconds;
    }
}
