namespace Pipeline.Coordinator;

/// <summary>
/// Which step each rank has certainly completed, so that it lacks nothing of it. What a rank says of itself lags behind; what others have completed
/// says more: nobody completes a step before all ranks have completed the one before it, since each contributes to its totals. That does not hold for a rank that
/// runs again what it, or its predecessor at the same place, had contributed to before. Pure.
/// </summary>
/// <param name="rankCount">Ranks.</param>
internal sealed class ReachedSteps(int rankCount)
{
    private readonly long[] _againThrough = new long[rankCount];

    /// <summary>A rank is put back while the others stay: it had contributed to no step beyond the granted ones.</summary>
    internal void PutBack(int rank, long grantedStep) => _againThrough[rank] = Math.Max(_againThrough[rank], grantedStep);

    /// <summary>All ranks have said how far they are: whoever was put back had contributed to no step beyond the one after the furthest.</summary>
    internal void Know(long furthest)
    {
        for (var rank = 0; rank < _againThrough.Length; rank++) _againThrough[rank] = Math.Min(_againThrough[rank], furthest + 1);
    }

    /// <summary>All ranks begin anew together.</summary>
    internal void Restart() => Array.Clear(_againThrough);

    /// <summary>The step that all of these ranks have certainly completed.</summary>
    /// <param name="ranks">Which.</param>
    /// <param name="completedBy">What a rank has said of itself.</param>
    /// <param name="furthest">The last step that any rank is known to have completed.</param>
    internal long Of(IEnumerable<int> ranks, Func<int, long> completedBy, long furthest) => ranks
        .Select(rank => completedBy(rank) is var own && own < _againThrough[rank] ? own : Math.Max(own, furthest - 1))
        .DefaultIfEmpty(long.MaxValue).Min();
}
