using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Reduction;

/// <summary>How the gradients of replicas are added up.</summary>
public sealed record ReductionSettings
{
    /// <summary>Elements of a bucket below which sending it costs more than it carries: 256 KiB of fp32.</summary>
    public const long DefaultBucketLength = 1 << 16;

    /// <summary>
    /// Elements of a message: 1 MiB of fp32, which stays in a core's cache from its arrival until it is added up and sent on. A multiple of the
    /// compressors' blocks.
    /// </summary>
    public const int DefaultPieceLength = 1 << 18;

    /// <summary>Elements below which what is sent is copied sooner than the other end can say that it has it: 256 KiB, whose copy takes about as long as the wake-ups of a receipt.</summary>
    public const int DefaultShortestLoan = 1 << 16;

    /// <summary>Who sends what to whom.</summary>
    public ReductionTopology Topology { get; init; } = ReductionTopology.Sharded;

    /// <summary>Elements that a bucket should have at least.</summary>
    public long BucketLength { get; init; } = DefaultBucketLength;

    /// <summary>Most elements of one message, where compression lets a bucket be cut.</summary>
    public int PieceLength { get; init; } = DefaultPieceLength;

    /// <summary>Fewest elements of a message that is sent from where the gradient lies; fewer are copied.</summary>
    public int ShortestLoan { get; init; } = DefaultShortestLoan;

    /// <summary>Most elements of one message. Factors stand for whole matrices: fewer rows would make more of them.</summary>
    public int LongestPiece => Contributions.Kind == CompressionKind.PowerSgd || Answers.Kind == CompressionKind.PowerSgd ? int.MaxValue : PieceLength;

    /// <summary>Consecutive replicas that form a group of <see cref="ReductionTopology.Hierarchical"/>, where nothing else says so.</summary>
    public int GroupSize { get; init; } = 1;

    /// <summary>Whether the replicas of one machine form a group.</summary>
    public bool GroupsByMachine { get; init; }

    /// <summary>Each replica's group, as given; null where it is not.</summary>
    public ReplicaGroups? Groups { get; init; }

    /// <summary>Whether what is final is sent while backward goes on with other units.</summary>
    public bool Overlaps { get; init; } = true;

    /// <summary>Compression of what replicas contribute.</summary>
    public CompressionSettings Contributions { get; init; } = CompressionSettings.None;

    /// <summary>Compression of the sums that go back.</summary>
    public CompressionSettings Answers { get; init; } = CompressionSettings.None;

    /// <summary>Compression of activations and their gradients between stages: none, or one without residuals.</summary>
    public CompressionSettings Activations { get; init; } = CompressionSettings.None;

    /// <summary>How it is found out whether compression pays; null where it is not asked.</summary>
    public CompressionTrial? Trial { get; init; }

    /// <summary>How replicas that take steps of their own bring their weights together; null where they add the gradients of each step up.</summary>
    public OuterStep? Outer { get; init; }

    /// <summary>Whether what is exchanged is not what was computed.</summary>
    public bool IsLossy => Contributions.Kind != CompressionKind.None || Answers.Kind != CompressionKind.None;

    /// <summary>The groups of so many replicas, each in rising order.</summary>
    /// <param name="replicaCount">Replicas now; of groups that are given for more, those that are not there are left out.</param>
    /// <param name="machines">By replica, the number of its machine; null where all lie on one.</param>
    public IReadOnlyList<IReadOnlyList<int>> GroupsOf(int replicaCount, IReadOnlyList<int>? machines = null)
    {
        if (GroupsByMachine) return [.. Enumerable.Range(0, replicaCount).GroupBy(replica => machines?[replica] ?? 0).Select(group => group.ToArray())];
        if (Groups is { } given) return given.Among(replicaCount);
        return [.. Enumerable.Range(0, replicaCount).Chunk(GroupSize)];
    }
}
