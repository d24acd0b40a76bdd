using System.Collections.Immutable;
using System.Globalization;

namespace Pipeline.Schedules;

/// <summary>
/// Decides whether a schedule can run. A schedule is valid exactly if
/// <list type="number">
/// <item>every action stands on the rank that holds its stage;</item>
/// <item>in training each (stage, micro-batch) has one F and either one B or one I and one W, and at most one R; in
/// evaluation one F and nothing else;</item>
/// <item>F comes before R, R before B or I, F before B or I, I before W;</item>
/// <item>the leaves (B or W) of a stage come in micro-batch order, where the limits ask for that;</item>
/// <item>where the schedule ends its step each stage has one N, one O and, if tied, one T; on each rank all micro-batch
/// actions come first, then every T, then every N, then every O;</item>
/// <item>no rank ever holds more (stage, micro-batch) pairs than its limit, from F to B or W;</item>
/// <item>no rank ever holds more bytes than it has, where the limits cap them;</item>
/// <item>run with mailboxes of the given capacity, every rank comes to the end of its list.</item>
/// </list>
/// Any order that keeps these rules is accepted, also one that no generator makes.
/// </summary>
public static class ScheduleValidator
{
    private const int MaxProblemsInMessage = 3;

    /// <summary>
    /// All problems, empty for a valid schedule. Progress (rule 8) is looked at only when the other rules hold, since its
    /// answer would otherwise only repeat them.
    /// </summary>
    /// <param name="schedule">Any schedule.</param>
    /// <param name="limits">Null means <see cref="ScheduleLimits.PromisedBy"/>.</param>
    public static ImmutableArray<ScheduleProblem> Validate(Schedule schedule, ScheduleLimits? limits = null)
    {
        limits ??= ScheduleLimits.PromisedBy(schedule);
        ArgumentOutOfRangeException.ThrowIfNotEqual(limits.InFlightPerRank.Length, schedule.RankCount, nameof(limits));
        var problems = ScheduleContent.Check(schedule, limits);
        if (problems.Count == 0 && limits.Memory is { } memory)
            problems.AddRange(OverfullRanks(schedule, memory));
        return problems.Count > 0 ? [.. problems] : [.. BlockedRanks(schedule, limits.MailboxCapacity)];
    }

    /// <summary>Throws where <see cref="Validate"/> finds problems.</summary>
    /// <exception cref="ScheduleException">Names the first problems and shows the table around the first.</exception>
    public static void ThrowIfInvalid(Schedule schedule, ScheduleLimits? limits = null)
    {
        if (Fault(schedule, limits) is { } fault)
            throw new ScheduleException(fault);
    }

    /// <summary>The first problems in words, with the table around the first; null for a valid schedule.</summary>
    /// <param name="schedule">Any schedule.</param>
    /// <param name="limits">Null means <see cref="ScheduleLimits.PromisedBy"/>.</param>
    public static string? Fault(Schedule schedule, ScheduleLimits? limits = null)
    {
        var problems = Validate(schedule, limits);
        if (problems.IsEmpty)
            return null;
        var named = string.Join("; ", problems.Take(MaxProblemsInMessage));
        var others = problems.Length > MaxProblemsInMessage ? $"; and {problems.Length - MaxProblemsInMessage} more" : "";
        var excerpt = ScheduleExcerpt.Around(schedule, problems[0].Rank, problems[0].Position);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"Schedule {schedule.Name} ({schedule.RankCount} ranks, {schedule.StageCount} stages, {schedule.MicroBatchCount} micro-batches) cannot run: {named}{others}.\n{excerpt}");
    }

    /// <summary>
    /// The smallest mailbox capacity with which a valid schedule comes to its end: how much room for unread messages its order asks
    /// for. Links do not go by it: they bound what is under way in bytes, which the receiver gives back as frames arrive, so that what is
    /// proved here of mailboxes holds of a run with room to spare.
    /// </summary>
    /// <exception cref="ScheduleException">It comes to its end with no capacity.</exception>
    public static int RequiredMailboxCapacity(Schedule schedule)
    {
        var (low, high) = (1, schedule.MicroBatchCount);
        if (!ScheduleProgress.Run(schedule, high).IsComplete)
            throw new ScheduleException($"Schedule {schedule.Name} cannot run: {string.Join("; ", BlockedRanks(schedule, high))}.");
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            if (ScheduleProgress.Run(schedule, middle).IsComplete)
                high = middle;
            else
                low = middle + 1;
        }

        return low;
    }

    /// <summary>For each rank the most (stage, micro-batch) pairs that it holds at a time, from F to B or W.</summary>
    public static ImmutableArray<int> PeakInFlight(Schedule schedule) => [.. schedule.Actions.Select(PeakOf)];

    private static IEnumerable<ScheduleProblem> OverfullRanks(Schedule schedule, MemoryCap cap)
    {
        for (var rank = 0; rank < schedule.RankCount; rank++)
            if (MemoryUse.FirstOver(schedule, rank, cap.OfStages, cap.BytesPerRank[rank]) is var (position, bytes))
                yield return new ScheduleProblem(rank, position, string.Create(CultureInfo.InvariantCulture, $"{schedule.Actions[rank][position]} makes {bytes:N0} bytes, but the rank has {cap.BytesPerRank[rank]:N0}"));
    }

    private static int PeakOf(ImmutableArray<StageAction> row)
    {
        var (held, peak) = (0, 0);
        foreach (var action in row)
        {
            held += action.Kind is ActionKind.Forward ? 1 : action.Kind.MakesLeaf() ? -1 : 0;
            peak = Math.Max(peak, held);
        }

        return peak;
    }

    private static IEnumerable<ScheduleProblem> BlockedRanks(Schedule schedule, int mailboxCapacity)
    {
        var progress = ScheduleProgress.Run(schedule, mailboxCapacity);
        for (var rank = 0; rank < schedule.RankCount; rank++)
            if (progress.IsUnfinished(rank))
            {
                var position = progress.Next[rank];
                yield return new ScheduleProblem(rank, position, $"blocked before {schedule.Actions[rank][position]}: {progress.Obstacle(rank)}");
            }
    }
}
