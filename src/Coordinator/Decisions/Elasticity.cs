namespace Pipeline.Coordinator;

/// <summary>How many replicas a run has room for, and which of the former ones they go on from. Pure.</summary>
internal static class Elasticity
{
    /// <summary>Replicas that there is room for: at least one, however crowded, and no more than are wanted.</summary>
    /// <param name="room">By node, the ranks that it can take, those that it has included.</param>
    /// <param name="ranksPerReplica">Ranks of one replica.</param>
    /// <param name="wanted">Replicas that the run is meant to have.</param>
    /// <param name="hasReducers">Whether several replicas need as many ranks as one more to add up beside them.</param>
    internal static int ReplicasFor(IEnumerable<int> room, int ranksPerReplica, int wanted, bool hasReducers = false) =>
        Math.Clamp(room.Sum() / ranksPerReplica - (hasReducers ? 1 : 0), 1, wanted);

    /// <summary>
    /// For each replica from now on, the former one whose places it takes, or -1 for none: those that have lost the fewest ranks, in their
    /// order, so that a rank which is left stays where it is.
    /// </summary>
    /// <param name="isLeft">By former rank, whether its node is still there for it.</param>
    /// <param name="ranksPerReplica">Ranks of one replica.</param>
    /// <param name="count">Replicas from now on.</param>
    internal static IReadOnlyList<int> Heirs(IReadOnlyList<bool> isLeft, int ranksPerReplica, int count)
    {
        var staying = Enumerable.Range(0, isLeft.Count / ranksPerReplica)
            .OrderByDescending(replica => isLeft.Skip(replica * ranksPerReplica).Take(ranksPerReplica).Count(left => left)).ThenBy(replica => replica)
            .Take(count).Order().ToArray();
        return [.. staying, .. Enumerable.Repeat(-1, count - staying.Length)];
    }

    /// <summary>Which of some replicas with ranks of their own stay: those that have lost the fewest ranks, in their order.</summary>
    /// <param name="rankCounts">By replica, its ranks.</param>
    /// <param name="isLeft">By rank, whether its node is still there for it.</param>
    /// <param name="count">How many stay.</param>
    internal static IReadOnlyList<int> Staying(IReadOnlyList<int> rankCounts, IReadOnlyList<bool> isLeft, int count) =>
        [.. Enumerable.Range(0, rankCounts.Count).OrderBy(LostBy(rankCounts, isLeft)).ThenBy(replica => replica).Take(count).Order()];

    /// <summary>For each replica from now on, the former one with as many ranks whose places it takes, or -1 for none: those that have lost the fewest, in their order.</summary>
    /// <param name="formerCounts">By former replica, its ranks.</param>
    /// <param name="isLeft">By former rank, whether its node is still there for it.</param>
    /// <param name="counts">By replica from now on, its ranks.</param>
    internal static IReadOnlyList<int> Heirs(IReadOnlyList<int> formerCounts, IReadOnlyList<bool> isLeft, IReadOnlyList<int> counts)
    {
        var lostBy = LostBy(formerCounts, isLeft);
        // Of as many as will have so many ranks.
        var staying = counts.GroupBy(count => count).ToDictionary(
            alike => alike.Key, alike => new Queue<int>(Enumerable.Range(0, formerCounts.Count).Where(replica => formerCounts[replica] == alike.Key).OrderBy(lostBy).ThenBy(replica => replica).Take(alike.Count()).Order()));
        return [.. counts.Select(count => staying[count].TryDequeue(out var former) ? former : -1)];
    }

    /// <summary>The ranks of replicas that a run began with and has not at present, in their order.</summary>
    internal static IReadOnlyList<int> Missing(IReadOnlyList<int> began, IReadOnlyList<int> present)
    {
        List<int> left = [.. present];
        return [.. began.Where(count => !left.Remove(count))];
    }

    private static Func<int, int> LostBy(IReadOnlyList<int> rankCounts, IReadOnlyList<bool> isLeft) =>
        replica => isLeft.Skip(rankCounts.Take(replica).Sum()).Take(rankCounts[replica]).Count(left => !left);
}
