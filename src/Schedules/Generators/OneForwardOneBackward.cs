namespace Pipeline.Schedules;

/// <summary>
/// 1F1B with a flush at the end of the step (Narayanan et al. 2021, "Memory-Efficient Pipeline-Parallel DNN Training",
/// PipeDream-Flush): stage s warms up with p−s−1 forwards, alternates one forward and one backward, and cools down with
/// the backwards that are left. Bubble (p−1)/(m+p−1) of the step with equal stages, as GPipe, but stage s holds only
/// min(p−s, m) micro-batches.
/// </summary>
public sealed class OneForwardOneBackward : IScheduleGenerator
{
    /// <inheritdoc/>
    public string Name => "1f1b";

    /// <inheritdoc/>
    public string Summary => "one forward, one backward; stage s of p holds at most p − s micro-batches";

    /// <inheritdoc/>
    public bool UsesSplitBackward => false;

    /// <inheritdoc/>
    public StagesPerRank StagesPerRank => StagesPerRank.One;

    /// <inheritdoc/>
    public Schedule Generate(ScheduleShape shape)
    {
        StagesPerRank.Require(Name, shape);
        return ScheduleRows.Looped(Name, shape, rank => Row(rank, shape));
    }

    /// <inheritdoc/>
    public ScheduleLimits LimitsFor(ScheduleShape shape) =>
        new(MailboxCapacity: 1, [.. Enumerable.Range(0, shape.RankCount).Select(rank => Math.Min(shape.RankCount - rank, shape.MicroBatchCount))]);

    private static IEnumerable<StageAction> Row(int stage, ScheduleShape shape)
    {
        var warmUpCount = Math.Min(shape.RankCount - stage - 1, shape.MicroBatchCount);
        for (var microBatch = 0; microBatch < warmUpCount; microBatch++)
            yield return ScheduleRows.Forward(stage, microBatch);

        var backward = 0;
        for (var microBatch = warmUpCount; microBatch < shape.MicroBatchCount; microBatch++)
        {
            yield return ScheduleRows.Forward(stage, microBatch);
            yield return ScheduleRows.Backward(stage, backward++);
        }

        for (; backward < shape.MicroBatchCount; backward++)
            yield return ScheduleRows.Backward(stage, backward);
    }
}
