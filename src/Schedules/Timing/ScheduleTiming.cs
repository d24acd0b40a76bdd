using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// Computes when each action of a schedule starts and ends, given what it costs: an action starts when its rank is free and
/// its inputs have arrived. Exact for the model of costs (no contention, mailboxes never full), linear in the number of
/// actions.
/// </summary>
public static class ScheduleTiming
{
    /// <param name="schedule">A schedule that comes to its end.</param>
    /// <param name="costs">Costs for each of its stages.</param>
    /// <exception cref="ScheduleException">The schedule blocks.</exception>
    public static Timeline Predict(Schedule schedule, ActionCosts costs)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(costs.StageCount, schedule.StageCount, nameof(costs));
        var inputs = new InputTimes(schedule);
        var free = new double[schedule.RankCount];
        var rows = new ImmutableArray<ActionSpan>.Builder[schedule.RankCount];
        for (var rank = 0; rank < rows.Length; rank++)
            rows[rank] = ImmutableArray.CreateBuilder<ActionSpan>(schedule.Actions[rank].Length);

        var progress = ScheduleProgress.Run(schedule, visit: (rank, action) =>
        {
            var start = Math.Max(free[rank], inputs.RemoteInputOf(action) + costs.HopLatency);
            free[rank] = start + costs.Of(action);
            inputs.Ended(action, free[rank]);
            rows[rank].Add(new ActionSpan(rank, action, start, free[rank]));
        });
        if (!progress.IsComplete)
            ScheduleValidator.ThrowIfInvalid(schedule, ScheduleLimits.Loosest(schedule));
        return new Timeline(schedule, [.. rows.Select(row => row.MoveToImmutable())], start: 0, end: free.Max());
    }
}
