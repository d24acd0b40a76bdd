using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Cli.Configuration;

/// <summary>Keys of <c>pipeline.reduction</c> and <c>pipeline.compression</c>.</summary>
public static class ReductionKeys
{
    private static readonly (string Name, CompressionKind Value)[] s_kinds =
    [
        ("none", CompressionKind.None), ("bf16", CompressionKind.BFloat16), ("int8", CompressionKind.Int8), ("int4", CompressionKind.Int4),
        ("top-k", CompressionKind.TopK), ("power-sgd", CompressionKind.PowerSgd),
    ];

    /// <summary>Who sends what to whom.</summary>
    public static readonly ChoiceSetting<ReductionTopology> Topology =
        new("reduction.topology", ("sharded", ReductionTopology.Sharded), ("hierarchical", ReductionTopology.Hierarchical), ("coordinator", ReductionTopology.Coordinator));

    /// <summary>Replicas of a group.</summary>
    public static readonly WholeNumberSetting GroupSize = new("reduction.group-size", 1, 1024, "replicas a group");

    /// <summary>Which replicas form a group.</summary>
    public static readonly TextSetting Groups = new("reduction.groups", "size, host, or replicas by group such as 0-3;4,6;5,7")
    {
        Accepts = text => text is BySize or ByHost || ReplicaGroups.Parse(text) is not null,
    };

    private const string BySize = "size";

    private const string ByHost = "host";

    /// <summary>Size of a bucket.</summary>
    public static readonly WholeNumberSetting Bucket = new("reduction.bucket", 1, 1L << 30, "elements");

    /// <summary>Whether buckets travel while backward goes on.</summary>
    public static readonly FlagSetting Overlap = new("reduction.overlap") { ChangesOnResume = true };

    /// <summary>Compression of what replicas contribute.</summary>
    public static readonly ChoiceSetting<CompressionKind> Kind = new("compression.kind", s_kinds);

    /// <summary>Compression of the sums that go back.</summary>
    public static readonly ChoiceSetting<CompressionKind> Answer = new("compression.answer", s_kinds);

    /// <summary>Compression of what travels between stages.</summary>
    public static readonly ChoiceSetting<CompressionKind> Activations = new("compression.activations", [.. s_kinds.Take(4)])
    {
        Refusals = s_kinds.Skip(4).ToDictionary(
            kind => kind.Name, _ => "Expected one of none, bf16, int8, int4: what top-k and power-sgd leave out has to go with a next step, and activations have none."),
    };

    /// <summary>Rounding of the quantised kinds.</summary>
    public static readonly ChoiceSetting<Rounding> Rounding =
        new("compression.rounding", ("nearest", Reduction.Compression.Rounding.Nearest), ("stochastic", Reduction.Compression.Rounding.Stochastic));

    /// <summary>Whether what was lost goes with the next step.</summary>
    public static readonly FlagSetting ErrorFeedback = new("compression.error-feedback");

    /// <summary>Share of top-k.</summary>
    public static readonly RealNumberSetting Share = new("compression.share", new(0, 1, WithoutMinimum: true), "share of the elements");

    /// <summary>Rank of PowerSGD.</summary>
    public static readonly WholeNumberSetting Rank = new("compression.rank", 1, 256, "columns of each factor");

    /// <summary>Uncompressed steps at the start.</summary>
    public static readonly WholeNumberSetting Warmup = new("compression.warmup", 0, 1_000_000_000, "steps");

    /// <summary>Those that mean something between replicas only.</summary>
    public static IReadOnlyList<Setting> OfReplicas { get; } = [Topology, Groups, GroupSize, Bucket, Overlap, Kind, Answer, ErrorFeedback, Share, Rank, Warmup];

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } =
        [Topology, Groups, GroupSize, Bucket, Overlap, Kind, Answer, Activations, Rounding, ErrorFeedback, Share, Rank, Warmup];

    /// <summary>Binds them.</summary>
    internal static ReductionSettings Bind(ResolvedConfiguration from) => new()
    {
        Topology = from.Get(Topology),
        BucketLength = from.Get(Bucket),
        GroupSize = from.Count(GroupSize),
        GroupsByMachine = from.Get(Groups) == ByHost,
        Groups = ReplicaGroups.Parse(from.Get(Groups)),
        Overlaps = from.Get(Overlap),
        Contributions = Compression(from, from.Get(Kind)),
        Answers = Compression(from, from.Get(Answer)),
        Activations = Compression(from, from.Get(Activations)) with { ErrorFeedback = false, WarmupSteps = 0 },
    };

    private static CompressionSettings Compression(ResolvedConfiguration from, CompressionKind kind) => new()
    {
        Kind = kind,
        Rounding = from.Get(Rounding),
        ErrorFeedback = from.Get(ErrorFeedback),
        Share = from.Get(Share),
        Rank = from.Count(Rank),
        WarmupSteps = from.Count(Warmup),
    };
}
