using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Diagnostics;
using Pipeline.Cli.Configuration;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>What adding gradients up over a run's replicas will take, from its settings.</summary>
internal static class PlannedReductions
{
    private const int ProbeLength = 2 << 20;
    private const int ProbeColumns = 1024;
    private const int ProbeRounds = 5;

    // What travels through the memory of one process, contributions (of two replicas that compress nothing there are no others) and answers, is copied out by who sends it
    // and added or put in its place by who takes it: two passes, each as long as a sum of as many bytes.
    private const double PassesOfOneSum = 2;

    private static readonly Lazy<double> s_sumSpeed = new(MeasureSum);
    private static readonly ConcurrentDictionary<CompressionKind, (double Compress, double Restore)> s_speeds = new();

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

    /// <summary>That of replicas in one process, at the speeds at which this machine adds, compresses and restores.</summary>
    public static Func<ImmutableArray<long>, IReductionModel>? Here(RunSettings settings)
    {
        if (settings.Step.ReplicaCount == 1) return null;
        var speed = s_sumSpeed.Value / PassesOfOneSum;
        var over = Over(settings, speed, speed, latency: 0)!;
        var work = WorkOf(settings.Reduction, settings.Step.ReplicaCount);
        return gradients => new CompressingReduction(over(gradients), gradients, work);
    }

    /// <summary>Seconds a byte of its gradient that a replica compresses and restores: of contributions all but its own share, and as much for that share; of answers its own, and all of them back.</summary>
    private static double WorkOf(ReductionSettings reduction, int replicaCount)
    {
        var (own, others) = (1.0 / replicaCount, (replicaCount - 1.0) / replicaCount);
        var (contribution, answer) = (Speeds(reduction.Contributions), Speeds(reduction.Answers));
        return others * (contribution.Compress + contribution.Restore) + own * answer.Compress + answer.Restore;
    }

    private static (double Compress, double Restore) Speeds(CompressionSettings settings) =>
        settings.Kind is CompressionKind.None ? (0, 0) : s_speeds.GetOrAdd(settings.Kind, _ => MeasureCompression(settings));

    /// <summary>Seconds a byte of fp32.</summary>
    private static (double Compress, double Restore) MeasureCompression(CompressionSettings settings)
    {
        var compressor = settings.Create(ProbeLength, [new MatrixRange(0, ProbeLength / ProbeColumns, ProbeColumns)], 0);
        using var owned = compressor as IDisposable;
        using FloatBuffer input = new(ProbeLength), residual = new(ProbeLength);
        for (var index = 0; index < ProbeLength; index++) input.Span[index] = MathF.Sin(index * 0.7f) * (index % 97);
        var payload = new byte[compressor.MaxByteCount(ProbeLength)];
        var best = (Compress: TimeSpan.MaxValue, Restore: TimeSpan.MaxValue);
        for (var round = 0; round < ProbeRounds; round++)
        {
            var start = Stopwatch.GetTimestamp();
            var length = compressor.Compress(input.Span, residual.Span, payload, new RoundingKey(0, round));
            var middle = Stopwatch.GetTimestamp();
            compressor.Decompress(payload.AsSpan(0, length), residual.Span);
            var (compress, restore) = (Stopwatch.GetElapsedTime(start, middle), Stopwatch.GetElapsedTime(middle));
            best = (compress < best.Compress ? compress : best.Compress, restore < best.Restore ? restore : best.Restore);
        }

        return (best.Compress.TotalSeconds / ProbeLength / sizeof(float), best.Restore.TotalSeconds / ProbeLength / sizeof(float));
    }

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
