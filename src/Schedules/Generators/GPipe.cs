namespace Pipeline.Schedules;

/// <summary>
/// All forwards, then all backwards, both in micro-batch order (Huang et al. 2019, "GPipe", section 2.3, which runs the
/// backwards in reverse; index order costs the same and adds gradients in canonical order). Bubble (p−1)/(m+p−1) of the
/// step with equal stages; every stage holds all m micro-batches.
/// </summary>
public sealed class GPipe : IScheduleGenerator
{
    /// <inheritdoc/>
    public string Name => "gpipe";

    /// <inheritdoc/>
    public string Summary => "all forwards, then all backwards; holds every micro-batch";

    /// <inheritdoc/>
    public bool UsesSplitBackward => false;

    /// <inheritdoc/>
    public StagesPerRank StagesPerRank => StagesPerRank.One;

    /// <inheritdoc/>
    public Schedule Generate(ScheduleShape shape)
    {
        StagesPerRank.Require(Name, shape);
        return ScheduleRows.Looped(Name, shape, rank => Row(rank, shape.MicroBatchCount));
    }

    /// <inheritdoc/>
    public ScheduleLimits LimitsFor(ScheduleShape shape) =>
        new(MailboxCapacity: 1, [.. Enumerable.Repeat(shape.MicroBatchCount, shape.RankCount)]);

    private static IEnumerable<StageAction> Row(int stage, int microBatchCount)
    {
        for (var microBatch = 0; microBatch < microBatchCount; microBatch++)
            yield return ScheduleRows.Forward(stage, microBatch);
        for (var microBatch = 0; microBatch < microBatchCount; microBatch++)
            yield return ScheduleRows.Backward(stage, microBatch);
    }
}
