using System.Text.Json.Nodes;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Operator;

/// <summary>
/// A step as its schedule alone makes it, simulated with the durations that the actions were measured to have: what lies between it and the
/// measured step is what machines, links and chance have added. Pure.
/// </summary>
internal static class SimulatedTimeline
{
    /// <summary>What spans are counted in.</summary>
    internal const double TicksPerSecond = 10_000_000;

    /// <summary>Simulates; null where the steps do not belong to the schedule, as after a change of stages.</summary>
    /// <param name="schedule">The schedule in text form.</param>
    /// <param name="steps">Steps whose actions were recorded.</param>
    internal static SimulatedStep? Of(string schedule, IReadOnlyList<StepSummary> steps)
    {
        if (schedule.Length == 0 || steps.Count == 0) return null;
        TracedSteps traced = new();
        foreach (var step in steps) traced.OnNotice(new RunNotice.StepCommitted(step));
        var parsed = ScheduleText.Parse(schedule);
        var isOfSchedule = traced.Spans().All(span => span.Action.Stage < parsed.StageCount) && steps[^1].Ranks.Count % parsed.RankCount == 0;
        return isOfSchedule && MeasuredCosts.Of(traced, parsed) is { } costs ? Simulator.Run(parsed, new SimulationModel { Costs = costs }) : null;
    }

    /// <summary>Seconds from the first recorded action of a step to the end of its last.</summary>
    internal static double SecondsOf(StepSummary step)
    {
        ExecutedSpan[] spans = [.. step.Ranks.SelectMany(rank => rank.Spans)];
        return (spans.Max(span => span.EndTicks) - spans.Min(span => span.StartTicks)) / TicksPerSecond;
    }

    /// <summary>Each rank's simulated actions, in seconds from the step's start.</summary>
    /// <param name="step">The simulated step.</param>
    /// <param name="most">At most so many actions of a rank.</param>
    internal static JsonObject Json(SimulatedStep step, int most) => new()
    {
        ["seconds"] = step.Duration,
        ["bubble"] = step.BubbleShare,
        ["ranks"] = new JsonArray([.. Enumerable.Range(0, step.Schedule.RankCount).Select(rank => (JsonNode)new JsonObject
        {
            ["rank"] = rank,
            ["spans"] = new JsonArray([.. step.Spans(rank).Take(most).Select(span => (JsonNode)new JsonObject { ["action"] = span.Action.ToString(), ["start"] = span.Start, ["end"] = span.End })]),
        })]),
    };
}
