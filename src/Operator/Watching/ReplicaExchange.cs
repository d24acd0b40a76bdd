using Pipeline.Coordinator;

namespace Pipeline.Operator;

/// <summary>What replicas of the pipeline exchanged, on the average of some steps and of the ranks that took part.</summary>
/// <param name="ExposedSeconds">A rank's waiting for what others add up or update in a step: communication that nothing hid.</param>
/// <param name="Share">That as a share of the step.</param>
/// <param name="Bytes">Bytes of tensors that a rank sends to other replicas in a step.</param>
public sealed record ReplicaExchange(double ExposedSeconds, double Share, double Bytes)
{
    /// <summary>That of some steps; null where nothing was exchanged in any of them.</summary>
    public static ReplicaExchange? Of(IReadOnlyList<StepSummary> steps)
    {
        // Where replicas take steps of their own most of these exchange nothing.
        var ranks = steps.SelectMany(step => step.Ranks).GroupBy(rank => rank.Rank).Where(rank => rank.Any(one => one.Timing.ExchangedBytes > 0)).SelectMany(rank => rank).Select(rank => rank.Timing).ToArray();
        if (ranks.Length == 0) return null;
        var (exposed, seconds) = (ranks.Average(rank => rank.ExposedSeconds), ranks.Average(rank => rank.Seconds));
        return new ReplicaExchange(exposed, seconds > 0 ? exposed / seconds : 0, ranks.Average(rank => (double)rank.ExchangedBytes));
    }
}
