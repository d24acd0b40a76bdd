using Pipeline.Coordinator;

namespace Pipeline.Operator;

/// <summary>Where the time of a rank went, averaged over some steps. Shares of the step's time.</summary>
/// <param name="Rank">Rank.</param>
/// <param name="Busy">In actions.</param>
/// <param name="Wait">Waiting for inputs.</param>
/// <param name="Exposed">Of that, for other replicas; null where it exchanges nothing with any.</param>
public sealed record RankShares(int Rank, double Busy, double Wait, double? Exposed = null)
{
    /// <summary>In neither: the executor's own work, and what the machine gave to others.</summary>
    public double Rest => Math.Max(0, 1 - Busy - Wait);

    /// <summary>The shares of all ranks, by rank; empty without steps.</summary>
    public static IReadOnlyList<RankShares> Of(IReadOnlyList<StepSummary> steps) =>
    [
        .. steps.SelectMany(step => step.Ranks).GroupBy(rank => rank.Rank).OrderBy(rank => rank.Key).Select(rank =>
        {
            var seconds = rank.Sum(one => one.Timing.Seconds);
            if (seconds <= 0) return new RankShares(rank.Key, 0, 0);
            double? exposed = rank.Any(one => one.Timing.ExchangedBytes > 0) ? rank.Sum(one => one.Timing.ExposedSeconds) / seconds : null;
            return new RankShares(rank.Key, rank.Sum(one => one.Timing.BusySeconds) / seconds, rank.Sum(one => one.Timing.WaitSeconds) / seconds, exposed);
        }),
    ];
}
