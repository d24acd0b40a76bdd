using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>What the generators share: from an order per rank to a schedule.</summary>
internal static class ScheduleRows
{
    public static StageAction Forward(int stage, int microBatch) => new(stage, ActionKind.Forward, microBatch);

    public static StageAction Backward(int stage, int microBatch) => new(stage, ActionKind.Backward, microBatch);

    public static StageAction InputGradient(int stage, int microBatch) => new(stage, ActionKind.InputGradient, microBatch);

    public static StageAction WeightGradient(int stage, int microBatch) => new(stage, ActionKind.WeightGradient, microBatch);

    /// <summary>A training schedule in the looped placement whose rank r runs <paramref name="rowOfRank"/>(r).</summary>
    public static Schedule Looped(string name, ScheduleShape shape, Func<int, IEnumerable<StageAction>> rowOfRank) =>
        new(name, ScheduleMode.Train, shape.MicroBatchCount, shape.LoopedPlacement,
            [.. Enumerable.Range(0, shape.RankCount).Select(rank => rowOfRank(rank).ToImmutableArray())]);
}
