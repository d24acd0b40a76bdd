using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Replicas whose nodes and links are alike: one of them stands for all. Every replica runs the same schedule on the same division.</summary>
/// <param name="FirstReplica">The first of them.</param>
/// <param name="Ranks">Its ranks' devices, in order.</param>
public sealed record PlannedPipeline(int FirstReplica, ImmutableArray<NodeCapacity> Ranks)
{
    /// <summary>How many replicas are like it.</summary>
    public int ReplicaCount { get; init; } = 1;

    /// <summary>Devices that are slow for a while, by their place in <see cref="Ranks"/>.</summary>
    public ImmutableArray<Slowdown> Slowdowns { get; init; } = [];

    /// <summary>How outputs of given sizes travel between its devices; null where only the profile's latency counts.</summary>
    public Func<ImmutableArray<long>, LinkModel>? Links { get; init; }

    /// <summary>What tells its links from those of others, where these differ.</summary>
    public int LinkKind { get; init; }

    /// <summary>One for each kind of replica, the first of its kind, in order.</summary>
    /// <param name="replicas">All.</param>
    public static ImmutableArray<PlannedPipeline> Kinds(IEnumerable<PlannedPipeline> replicas)
    {
        List<PlannedPipeline> kinds = [];
        foreach (var replica in replicas)
        {
            var known = kinds.FindIndex(kind => kind.IsLike(replica));
            if (known < 0) kinds.Add(replica);
            else kinds[known] = kinds[known] with { ReplicaCount = kinds[known].ReplicaCount + replica.ReplicaCount };
        }

        return [.. kinds];
    }

    /// <summary>For each place of a pipeline the slowest node that any replica has there, with the least memory: what fits and is fast enough there is so in all.</summary>
    public static ImmutableArray<NodeCapacity> Least(IReadOnlyList<PlannedPipeline> pipelines) =>
        [.. Enumerable.Range(0, pipelines[0].Ranks.Length).Select(rank => pipelines.Select(pipeline => pipeline.Ranks[rank]).MinBy(node => node.Speed) with
        {
            MemoryBytes = pipelines.Min(pipeline => pipeline.Ranks[rank].MemoryBytes),
        })];

    /// <summary>Those that may be the slowest: without any that is nowhere slower than another with the same links and stragglers.</summary>
    public static ImmutableArray<PlannedPipeline> Slowest(ImmutableArray<PlannedPipeline> pipelines) =>
        [.. pipelines.Where((pipeline, index) => !pipelines.Where((other, place) => place != index && pipeline.IsCoveredBy(other, place < index)).Any())];

    private bool IsLike(PlannedPipeline other) => LinkKind == other.LinkKind && Ranks.SequenceEqual(other.Ranks) && Slowdowns.SequenceEqual(other.Slowdowns);

    // Of two that cover each other the earlier one stays.
    private bool IsCoveredBy(PlannedPipeline other, bool isEarlier)
    {
        if (LinkKind != other.LinkKind || !Slowdowns.All(other.Slowdowns.Contains)) return false;
        // Nodes measured one by one may each be faster with other units.
        if (Ranks.Zip(other.Ranks, (own, theirs) => own.Profile != theirs.Profile).Any(differs => differs)) return false;
        var speeds = Ranks.Zip(other.Ranks, (own, theirs) => own.Speed.CompareTo(theirs.Speed)).ToArray();
        return speeds.All(sign => sign >= 0) && (isEarlier || speeds.Any(sign => sign > 0) || other.Slowdowns.Length > Slowdowns.Length);
    }
}
