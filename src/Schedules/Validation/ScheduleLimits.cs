using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>The resources within which a schedule must be able to run.</summary>
/// <param name="MailboxCapacity">
/// How many messages may lie unread on each directed edge between stages of different ranks. Edges within a rank hand
/// over by reference and are not bounded.
/// </param>
/// <param name="InFlightPerRank">
/// For each rank, how many (stage, micro-batch) pairs may be held at a time: counted from the forward to the action that
/// makes the leaf, B or W.
/// </param>
public sealed record ScheduleLimits(int MailboxCapacity, ImmutableArray<int> InFlightPerRank)
{
    /// <summary>
    /// True where leaves must be made in micro-batch order on each stage, so that an executor may add each to the
    /// gradient at once. Where false the executor must put them in order itself.
    /// </summary>
    public bool LeavesInIndexOrder { get; init; } = true;

    /// <summary>What the ranks may hold in bytes; null where only counts matter.</summary>
    public MemoryCap? Memory { get; init; }

    /// <summary>Limits that no complete schedule of these sizes exceeds; leaves may come in any order.</summary>
    public static ScheduleLimits Loosest(Schedule schedule) => new(
        schedule.MicroBatchCount,
        [.. Enumerable.Range(0, schedule.RankCount).Select(rank => schedule.MicroBatchCount * schedule.StagesOf(rank).Length)])
    {
        LeavesInIndexOrder = false,
    };

    /// <summary>
    /// What the registered generator of the schedule's name promises, so that a file that calls itself 1f1b is held to
    /// what 1F1B means; the loosest limits for other names.
    /// </summary>
    public static ScheduleLimits PromisedBy(Schedule schedule)
    {
        var stagesPerRank = Math.DivRem(schedule.StageCount, schedule.RankCount, out var excess);
        return schedule.Mode is ScheduleMode.Train && excess == 0 && ScheduleCatalog.Find(schedule.Name) is { } generator && generator.StagesPerRank.Allows(stagesPerRank)
            ? generator.LimitsFor(new ScheduleShape(schedule.RankCount, schedule.MicroBatchCount, stagesPerRank))
            : Loosest(schedule);
    }
}

/// <summary>A cap on bytes.</summary>
/// <param name="OfStages">What each stage holds.</param>
/// <param name="BytesPerRank">What each rank has.</param>
public sealed record MemoryCap(ImmutableArray<StageMemory> OfStages, ImmutableArray<long> BytesPerRank);
