namespace Pipeline.Schedules;

/// <summary>
/// Interleaved 1F1B (Narayanan et al. 2021, "Efficient Large-Scale Language Model Training on GPU Clusters", section 2.2):
/// each rank holds v stages, stage s on rank s mod p, and passes groups of p micro-batches through one of its stages after
/// the other. Bubble (p−1)(F+B) of one stage's cost, a v-th of that of 1F1B, where m is a multiple of p. Any other m runs
/// too, in ⌊m/p⌋ groups as equal as possible, the larger ones first.
/// </summary>
/// <remarks>
/// A last group smaller than p, as other systems have it, can block: its micro-batches come round to the first rank only
/// after backwards of the last rank that wait for the first rank (p = 4, m = 5, v = 3). Larger groups must not follow
/// smaller ones, since the warm-up covers the depth of the first. Rank r warms up with 2(p−r−1) + (v−1)·g forwards, g the size of the first group: the depth at which the first backward
/// reaches it. With v = 1 that is twice the warm-up of 1F1B, so one stage per rank takes p−r−1, as 1F1B.
/// </remarks>
public sealed class Interleaved : IScheduleGenerator
{
    /// <inheritdoc/>
    public string Name => "interleaved-1f1b";

    /// <inheritdoc/>
    public string Summary => "1F1B over several stages per rank; a v-th of the bubble for v times the messages";

    /// <inheritdoc/>
    public bool UsesSplitBackward => false;

    /// <inheritdoc/>
    public StagesPerRank StagesPerRank => StagesPerRank.Any;

    /// <inheritdoc/>
    public Schedule Generate(ScheduleShape shape) => ScheduleRows.Looped(Name, shape, rank => Row(rank, shape));

    /// <inheritdoc/>
    public ScheduleLimits LimitsFor(ScheduleShape shape) => new(
        MailboxCapacity: shape.VirtualStagesPerRank == 1 ? 1 : GroupSizes(shape)[0],
        [.. Enumerable.Range(0, shape.RankCount).Select(rank => Math.Min(WarmUpCount(rank, shape) + 1, ActionCount(shape)))]);

    private static int ActionCount(ScheduleShape shape) => checked(shape.VirtualStagesPerRank * shape.MicroBatchCount);

    private static int WarmUpCount(int rank, ScheduleShape shape)
    {
        var later = shape.RankCount - rank - 1;
        var depth = shape.VirtualStagesPerRank == 1 ? later : (2 * later) + ((shape.VirtualStagesPerRank - 1) * GroupSizes(shape)[0]);
        return Math.Min(depth, ActionCount(shape));
    }

    private static IEnumerable<StageAction> Row(int rank, ScheduleShape shape)
    {
        var order = GroupOrder(shape).ToArray();
        var warmUpCount = WarmUpCount(rank, shape);
        for (var index = 0; index < order.Length + warmUpCount; index++)
        {
            if (index < order.Length)
                yield return ScheduleRows.Forward((order[index].Chunk * shape.RankCount) + rank, order[index].MicroBatch);
            if (index >= warmUpCount)
            {
                var (chunk, microBatch) = order[index - warmUpCount];
                yield return ScheduleRows.Backward(((shape.VirtualStagesPerRank - 1 - chunk) * shape.RankCount) + rank, microBatch);
            }
        }
    }

    private static int[] GroupSizes(ScheduleShape shape)
    {
        var groupCount = Math.Max(1, shape.MicroBatchCount / shape.RankCount);
        var (size, larger) = Math.DivRem(shape.MicroBatchCount, groupCount);
        return [.. Enumerable.Range(0, groupCount).Select(group => group < larger ? size + 1 : size)];
    }

    // Group by group, stage by stage of the rank, micro-batch by micro-batch; backwards take the stages from the last.
    private static IEnumerable<(int Chunk, int MicroBatch)> GroupOrder(ScheduleShape shape)
    {
        var first = 0;
        foreach (var size in GroupSizes(shape))
        {
            for (var chunk = 0; chunk < shape.VirtualStagesPerRank; chunk++)
                for (var microBatch = first; microBatch < first + size; microBatch++)
                    yield return (chunk, microBatch);
            first += size;
        }
    }
}
