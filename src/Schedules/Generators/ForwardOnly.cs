using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// The evaluation schedule: every micro-batch forward through all stages, nothing held. With several stages per rank,
/// groups of as many micro-batches as there are ranks pass through all stages before the next group begins, which
/// keeps the mailboxes as short as a group. All ranks follow one common order that respects the chain of stages, so
/// they cannot block one another.
/// </summary>
public static class ForwardOnly
{
    /// <summary>The name in the schedule's header.</summary>
    public const string Name = "forward-only";

    /// <summary>In the looped placement: stage s on rank s mod p.</summary>
    public static Schedule Generate(ScheduleShape shape) => Generate(shape.LoopedPlacement, shape.MicroBatchCount);

    /// <summary>In the placement of a training schedule, whose stages must stay where their weights are.</summary>
    /// <param name="rankOfStage">For each stage its rank.</param>
    /// <param name="microBatchCount">Micro-batches to evaluate, at least 1.</param>
    public static Schedule Generate(ImmutableArray<int> rankOfStage, int microBatchCount)
    {
        var rankCount = rankOfStage.Max() + 1;
        return new Schedule(
            Name, ScheduleMode.Evaluate, microBatchCount, rankOfStage,
            [.. Enumerable.Range(0, rankCount).Select(rank => Row(rankOfStage, rank, microBatchCount).ToImmutableArray())]);
    }

    private static IEnumerable<StageAction> Row(ImmutableArray<int> rankOfStage, int rank, int microBatchCount)
    {
        var groupSize = rankOfStage.Max() + 1;
        for (var first = 0; first < microBatchCount; first += groupSize)
        {
            var end = Math.Min(first + groupSize, microBatchCount);
            for (var stage = 0; stage < rankOfStage.Length; stage++)
                for (var microBatch = first; microBatch < end && rankOfStage[stage] == rank; microBatch++)
                    yield return ScheduleRows.Forward(stage, microBatch);
        }
    }
}
