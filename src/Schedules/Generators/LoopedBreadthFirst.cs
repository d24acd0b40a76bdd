namespace Pipeline.Schedules;

/// <summary>
/// Looped breadth-first (Lamy-Poirier 2023, "Breadth-First Pipeline Parallelism"): stage s on rank s mod p; all
/// micro-batches pass the rank's first stage, then all its second one and so on, then backward the other way round. The
/// bubble of interleaved 1F1B with the memory of GPipe; what it buys is that each stage's weights are used in one go.
/// Backwards run in index order, so that gradients are added in canonical order.
/// </summary>
public sealed class LoopedBreadthFirst : IScheduleGenerator
{
    /// <inheritdoc/>
    public string Name => "looped-bfs";

    /// <inheritdoc/>
    public string Summary => "all micro-batches through one stage of the rank after the other; holds everything";

    /// <inheritdoc/>
    public bool UsesSplitBackward => false;

    /// <inheritdoc/>
    public StagesPerRank StagesPerRank => StagesPerRank.Any;

    /// <inheritdoc/>
    public Schedule Generate(ScheduleShape shape) => ScheduleRows.Looped(Name, shape, rank => Row(rank, shape));

    /// <summary>
    /// From the last rank back to the first, messages lie unread until the first rank has passed all micro-batches through
    /// its stage.
    /// </summary>
    public ScheduleLimits LimitsFor(ScheduleShape shape) => new(
        MailboxCapacity: shape.VirtualStagesPerRank == 1 ? 1 : shape.MicroBatchCount,
        [.. Enumerable.Repeat(checked(shape.MicroBatchCount * shape.VirtualStagesPerRank), shape.RankCount)]);

    private static IEnumerable<StageAction> Row(int rank, ScheduleShape shape)
    {
        for (var stage = rank; stage < shape.StageCount; stage += shape.RankCount)
            for (var microBatch = 0; microBatch < shape.MicroBatchCount; microBatch++)
                yield return ScheduleRows.Forward(stage, microBatch);
        for (var stage = shape.StageCount - shape.RankCount + rank; stage >= 0; stage -= shape.RankCount)
            for (var microBatch = 0; microBatch < shape.MicroBatchCount; microBatch++)
                yield return ScheduleRows.Backward(stage, microBatch);
    }
}
