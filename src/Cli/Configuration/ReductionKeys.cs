using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Cli.Configuration;

/// <summary>Keys of <c>pipeline.reduction</c> and <c>pipeline.compression</c>.</summary>
public static class ReductionKeys
{
    /// <summary>Steps with and steps without: enough for a median, few beside a run.</summary>
    private const int TrialLength = 12;

    private static readonly (string Name, CompressionKind Value)[] s_kinds =
    [
        ("none", CompressionKind.None), ("bf16", CompressionKind.BFloat16), ("int8", CompressionKind.Int8), ("int4", CompressionKind.Int4),
        ("top-k", CompressionKind.TopK), ("power-sgd", CompressionKind.PowerSgd), ("one-bit", CompressionKind.OneBit),
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

    /// <summary>From which size on messages are sent from where the gradient lies.</summary>
    public static readonly WholeNumberSetting LendFrom = new("reduction.lend-from", 1, int.MaxValue, "elements") { ChangesOnResume = true };

    /// <summary>Compression of what replicas contribute.</summary>
    public static readonly ChoiceSetting<CompressionKind> Kind = new("compression.kind", [.. s_kinds, ("auto", CompressionKind.Automatic)]);

    /// <summary>Compression of the sums that go back, or of how far weights have moved.</summary>
    public static readonly ChoiceSetting<CompressionKind> Answer = new("compression.answer", s_kinds);

    /// <summary>Compression of what travels between stages.</summary>
    public static readonly ChoiceSetting<CompressionKind> Activations = new("compression.activations", [.. s_kinds.Take(4)])
    {
        Refusals = s_kinds.Skip(4).ToDictionary(
            kind => kind.Name, _ => "Expected one of none, bf16, int8, int4: what top-k, power-sgd and one-bit leave out has to go with a next step, and activations have none."),
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

    /// <summary>What AdamW's second moments do once gradients are compressed.</summary>
    public static readonly ChoiceSetting<SecondMomentChoice> SecondMoment = new(
        "compression.second-moment", ("auto", SecondMomentChoice.Auto), ("follow", SecondMomentChoice.Follow), ("frozen", SecondMomentChoice.Frozen));

    /// <summary>Steps from one meeting of the replicas to the next.</summary>
    public static readonly WholeNumberSetting LocalSteps = new("reduction.local-steps", 1, 100_000, "steps");

    /// <summary>Learning rate of the outer step.</summary>
    public static readonly RealNumberSetting OuterLearningRate = new("reduction.outer-learning-rate", new(0, 10, WithoutMinimum: true), "share of what the replicas have moved");

    /// <summary>Momentum of the outer step.</summary>
    public static readonly RealNumberSetting OuterMomentum = new("reduction.outer-momentum", new(0, 1, WithoutMaximum: true), "share that is kept");

    /// <summary>Those that mean something between replicas only.</summary>
    public static IReadOnlyList<Setting> OfReplicas { get; } = [Topology, Groups, GroupSize, Bucket, Overlap, LendFrom, LocalSteps, OuterLearningRate, OuterMomentum, Kind, Answer, ErrorFeedback, Share, Rank, Warmup, SecondMoment];

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } =
        [Topology, Groups, GroupSize, Bucket, Overlap, LendFrom, LocalSteps, OuterLearningRate, OuterMomentum, Kind, Answer, Activations, Rounding, ErrorFeedback, Share, Rank, Warmup, SecondMoment];

    /// <summary>Binds them.</summary>
    internal static ReductionSettings Bind(ResolvedConfiguration from)
    {
        var isAutomatic = from.Get(Kind) == CompressionKind.Automatic;
        var (kind, answer) = (from.Get(Kind), from.Get(Answer));
        if (isAutomatic) (kind, answer) = (CompressionKind.Int8, answer == CompressionKind.None ? CompressionKind.Int8 : answer);
        return new()
        {
            Topology = from.Get(Topology),
            BucketLength = from.Get(Bucket),
            GroupSize = from.Count(GroupSize),
            GroupsByMachine = from.Get(Groups) == ByHost,
            Groups = ReplicaGroups.Parse(from.Get(Groups)),
            Overlaps = from.Get(Overlap),
            ShortestLoan = from.Count(LendFrom),
            Contributions = Compression(from, kind),
            Answers = Compression(from, answer),
            Activations = Compression(from, from.Get(Activations)) with { ErrorFeedback = false, WarmupSteps = 0 },
            Trial = isAutomatic ? new CompressionTrial(from.Get(Warmup), TrialLength) : null,
            Outer = from.Get(LocalSteps) > 1 ? new OuterStep(from.Count(LocalSteps), from.Get(OuterLearningRate), from.Get(OuterMomentum)) : null,
        };
    }

    /// <summary>The last step that AdamW's second moments follow; null where they always do.</summary>
    internal static long? FrozenAfter(ResolvedConfiguration from)
    {
        var isOneBit = from.Get(Kind) == CompressionKind.OneBit || from.Get(Answer) == CompressionKind.OneBit;
        var isFrozen = from.Get(SecondMoment) == SecondMomentChoice.Frozen || (from.Get(SecondMoment) == SecondMomentChoice.Auto && isOneBit);
        return isFrozen && from.Get(SettingsSchema.DataAxis) > 1 ? from.Get(Warmup) : null;
    }

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
