using System.Text.Json;
using Pipeline.Bench.Workloads;
using Pipeline.Model;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>What two processes are to do with each other.</summary>
/// <param name="Trains">Whether they train; otherwise they only add gradients up.</param>
/// <param name="Kind">Compression both ways.</param>
/// <param name="Overlaps">Whether buckets leave while backward goes on.</param>
/// <param name="MicroBatchCount">Micro-batches of each replica and step.</param>
/// <param name="RoundCount">Rounds or steps that count, after those that warm up.</param>
/// <param name="BytesPerSecond">Rate of the link each way; 0 for what it carries.</param>
/// <param name="IsTcp">TCP rather than a Unix socket.</param>
/// <param name="IsQuick">A tiny model.</param>
/// <param name="Every">Rounds from one reduction to the next, as with local steps; a divisor of the rounds.</param>
/// <param name="Way">What a round does where they do not train.</param>
/// <param name="LayerCount">Layers of the model that is trained.</param>
/// <param name="Keeps">Whether what was sent is kept for a loss until the round after the next begins, as a run keeps it that copies its state after each step.</param>
/// <param name="HasChecksums">Whether frames carry checksums, as they do unless a run is told otherwise.</param>
/// <param name="Lends">Whether gradients are sent from where they lie; otherwise they are copied first.</param>
/// <param name="PieceLength">Elements of a message.</param>
/// <param name="SampleCount">Samples of a micro-batch.</param>
/// <param name="WarmUps">Rounds before those that count; 0 for as many as what is done needs.</param>
/// <param name="Meets">Whether both have done with backward before the first of them sends: what then follows is communication and no waiting for the other's work. Without overlap only.</param>
internal sealed record ReplicaSpec(
    bool Trains, CompressionKind Kind, bool Overlaps, int MicroBatchCount, int RoundCount, double BytesPerSecond, bool IsTcp, bool IsQuick, int Every = 1, ReplicaWay Way = ReplicaWay.Large,
    int LayerCount = ReplicaSpec.DefaultLayerCount, bool Keeps = false, bool HasChecksums = true, bool Lends = true, int PieceLength = ReductionSettings.DefaultPieceLength,
    int SampleCount = ReplicaSpec.DefaultSampleCount, int WarmUps = 0, bool Meets = false)
{
    internal const int DefaultLayerCount = 6;

    internal const int DefaultSampleCount = 4;

    /// <summary>Rounds that warm up where a round lasts some hundredths of a second: for the first seconds of a process its hot loops run as they were compiled first, not as they will be.</summary>
    internal const int LongWarmUp = 20;

    private const int ShortWarmUp = 2;

    /// <summary>Rounds that warm up: few where nothing is timed, or a round is a whole training step.</summary>
    internal int WarmUpCount => WarmUps > 0 ? WarmUps : Trains || IsQuick || Way == ReplicaWay.Nano ? ShortWarmUp : LongWarmUp;

    /// <summary>The model that is trained, or whose gradient is added up.</summary>
    internal ModelSettings Model => this switch
    {
        { Way: ReplicaWay.Nano } => BenchModels.Nano,
        { IsQuick: true } => BenchModels.Tiny(),
        { Trains: true } => BenchModels.Gpt(LayerCount, 256, 8, 128, 2048),
        _ => BenchModels.Gpt(3, 512, 8, 256, 7680),
    };

    /// <summary>How gradients are added up.</summary>
    internal ReductionSettings Reduction
    {
        get
        {
            var compression = new CompressionSettings { Kind = Kind };
            return new ReductionSettings
            {
                Contributions = compression,
                Answers = compression,
                Overlaps = Overlaps,
                PieceLength = PieceLength,
                BucketLength = IsQuick ? 4000 : ReductionSettings.DefaultBucketLength,
                ShortestLoan = !Lends ? int.MaxValue : IsQuick ? 1 : ReductionSettings.DefaultShortestLoan,
            };
        }
    }

    /// <summary>As one argument of a command line.</summary>
    internal string ToText() => JsonSerializer.Serialize(this);

    /// <summary>Reads what <see cref="ToText"/> wrote.</summary>
    internal static ReplicaSpec Parse(string text) => JsonSerializer.Deserialize<ReplicaSpec>(text) ?? throw new FormatException("No specification.");
}

/// <summary>What two processes exchange that do not train.</summary>
internal enum ReplicaWay
{
    /// <summary>They add 64 MiB of gradient up.</summary>
    Large,

    /// <summary>They add the gradient of the preset gpt-nano up.</summary>
    Nano,

    /// <summary>They send each other as many bytes as the large gradient has, in frames, and add nothing: what the link itself carries.</summary>
    FramesAlone,
}
