using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Reduction;

/// <summary>How the gradients of replicas are added up.</summary>
public sealed record ReductionSettings
{
    /// <summary>Elements of a bucket below which sending it costs more than it carries: 256 KiB of fp32.</summary>
    public const long DefaultBucketLength = 1 << 16;

    /// <summary>Who sends what to whom.</summary>
    public ReductionTopology Topology { get; init; } = ReductionTopology.Sharded;

    /// <summary>Elements that a bucket should have at least.</summary>
    public long BucketLength { get; init; } = DefaultBucketLength;

    /// <summary>Replicas by group, each once; empty for one group a replica. Used by <see cref="ReductionTopology.Hierarchical"/>.</summary>
    public IReadOnlyList<IReadOnlyList<int>> Groups { get; init; } = [];

    /// <summary>Compression of what replicas contribute.</summary>
    public CompressionSettings Contributions { get; init; } = CompressionSettings.None;

    /// <summary>Compression of the sums that go back.</summary>
    public CompressionSettings Answers { get; init; } = CompressionSettings.None;
}
