using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>Which copies of which ranks' states lie where, and how far the run is protected by them. No actor.</summary>
/// <param name="rankCount">Ranks.</param>
/// <param name="startStep">The step whose state is to be had without copies.</param>
internal sealed class CopyLedger(int rankCount, long startStep)
{
    // What a holder keeps of a rank.
    private const int KeptCount = 2;
    private readonly Dictionary<(int Rank, NodeId Holder), SortedSet<long>> _steps = [];

    /// <summary>No rank will be put back further than to the end of this step; it never falls.</summary>
    internal long ProtectedStep { get; private set; } = startStep;

    /// <summary>A copy is stored; false if it is known, or older than those that are kept.</summary>
    internal bool Enter(int rank, long step, NodeId holder)
    {
        if (!_steps.TryGetValue((rank, holder), out var steps)) _steps.Add((rank, holder), steps = []);
        var isNew = steps.Add(step);
        while (steps.Count > KeptCount) steps.Remove(steps.Min);
        var common = Enumerable.Range(0, rankCount).Select(StepsOf).Aggregate((one, other) => [.. one.Intersect(other)]);
        if (common.Count > 0) ProtectedStep = Math.Max(ProtectedStep, common.Max());
        return isNew && steps.Contains(step);
    }

    /// <summary>A node is gone, and the copies that it held.</summary>
    internal void Lose(NodeId holder)
    {
        foreach (var key in _steps.Keys.Where(key => key.Holder == holder).ToArray()) _steps.Remove(key);
    }

    /// <summary>A holder does not have a rank's copies after all.</summary>
    internal void Lose(int rank, NodeId holder) => _steps.Remove((rank, holder));

    /// <summary>Who has the copy of a rank after a step; null where nobody has.</summary>
    internal NodeId? HolderOf(int rank, long step) => _steps
        .Where(entry => entry.Key.Rank == rank && entry.Value.Contains(step))
        .Select(entry => (NodeId?)entry.Key.Holder).Order().FirstOrDefault();

    /// <summary>The steps after which there are copies of any rank.</summary>
    internal IEnumerable<long> Steps => _steps.Values.SelectMany(steps => steps).Distinct();

    /// <summary>
    /// Copies that together hold the whole state after a step, by rank, and who has them; null where it is not whole. Replicas that do not share
    /// the state out hold the same, so that one copy of ranks that are alike is enough.
    /// </summary>
    /// <param name="step">Step.</param>
    /// <param name="alike">Ranks of the replicas, those that hold the same units together; others have nothing of their own but what compression lost.</param>
    /// <param name="sharesState">Whether a rank's state is its alone.</param>
    internal IReadOnlyList<(int Rank, NodeId Holder)>? HoldersAt(long step, IReadOnlyList<IReadOnlyList<int>> alike, bool sharesState)
    {
        IEnumerable<IReadOnlyList<int>> groups = sharesState ? Enumerable.Range(0, rankCount).Select(rank => new[] { rank }) : alike;
        (int Rank, NodeId? Holder)[] wanted = [.. groups.Select(group => group.Select(rank => (Rank: rank, Holder: HolderOf(rank, step))).OrderBy(copy => copy.Holder is null).First())];
        return wanted.Any(copy => copy.Holder is null) ? null : [.. wanted.Select(copy => (copy.Rank, copy.Holder!.Value))];
    }

    /// <summary>What a former coordinator had announced: kept messages reach back no further.</summary>
    internal void Announced(long protectedStep) => ProtectedStep = Math.Max(ProtectedStep, protectedStep);

    /// <summary>The steps after which there are copies of a rank.</summary>
    internal HashSet<long> StepsOf(int rank) => [.. _steps.Where(entry => entry.Key.Rank == rank).SelectMany(entry => entry.Value)];
}
