using System.Collections.Immutable;
using Pipeline.Schedules;

namespace Pipeline.Coordinator;

/// <summary>What the actions of traced steps have cost, for a simulation of the schedule alone. Pure.</summary>
public static class MeasuredCosts
{
    /// <summary>Means over the traced steps, by stage and kind, with the median time from an input's arrival to the action's start; null where nothing was traced.</summary>
    public static ActionCosts? Of(TracedSteps traced, Schedule schedule)
    {
        var durations = traced.Spans().GroupBy(span => (span.Action.Stage, span.Action.Kind)).ToDictionary(group => group.Key, group => group.Average(span => span.Duration));
        if (durations.Count == 0) return null;
        var none = ImmutableArray.CreateRange(new double[schedule.StageCount]);
        var costs = ActionCosts.PerStage(none, none, traced.ReadyToStartSeconds is { Count: > 0 } waits ? waits.Order().ElementAt(waits.Count / 2) : 0);
        foreach (var kind in Enum.GetValues<ActionKind>())
            costs = costs.With(kind, [.. Enumerable.Range(0, none.Length).Select(stage => durations.GetValueOrDefault((stage, kind)))]);
        return costs;
    }
}
