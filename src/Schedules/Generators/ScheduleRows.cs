using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>What the generators share: from an order per rank to a schedule.</summary>
internal static class ScheduleRows
{
    public static StageAction Forward(int stage, int microBatch) => new(stage, ActionKind.Forward, microBatch);

    public static StageAction Backward(int stage, int microBatch) => new(stage, ActionKind.Backward, microBatch);

    /// <summary>A training schedule in the looped placement whose rank r runs <paramref name="rowOfRank"/>(r).</summary>
    public static Schedule Looped(string name, ScheduleShape shape, Func<int, IEnumerable<StageAction>> rowOfRank) =>
        new(name, ScheduleMode.Train, shape.MicroBatchCount, shape.LoopedPlacement,
            [.. Enumerable.Range(0, shape.RankCount).Select(rank => rowOfRank(rank).ToImmutableArray())]);

    /// <summary>Refuses virtual stages on behalf of a kind that has one stage per rank.</summary>
    public static void RequireOneStagePerRank(string name, ScheduleShape shape)
    {
        if (shape.VirtualStagesPerRank != 1)
            throw new ScheduleException(
                $"Schedule {name} runs one stage per rank, found {shape.VirtualStagesPerRank} virtual stages per rank. " +
                "Set pipeline.schedule.virtual-stages to 1.");
    }
}
