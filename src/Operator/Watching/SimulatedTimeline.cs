using System.Text.Json.Nodes;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Operator;

/// <summary>
/// A step as its schedules alone make it, simulated with the durations that the actions were measured to have: what lies between it and the
/// measured step is what machines, links and chance have added. Replicas that are alike have one simulation, with the means over all of them; those with
/// stages of their own have one each, and the step ends with the longest. Pure.
/// </summary>
internal sealed class SimulatedTimeline
{
    /// <summary>What spans are counted in.</summary>
    internal const double TicksPerSecond = 10_000_000;

    private readonly IReadOnlyList<SimulatedStep> _replicas;
    private readonly (SimulatedStep Step, int Place)[] _ranks;

    private SimulatedTimeline(IReadOnlyList<SimulatedStep> replicas)
    {
        _replicas = replicas;
        _ranks = [.. replicas.SelectMany(step => Enumerable.Range(0, step.Schedule.RankCount).Select(place => (step, place)))];
    }

    /// <summary>Seconds of the step.</summary>
    internal double Seconds => _replicas.Max(step => step.Duration);

    /// <summary>Idle share of the ranks' time until the longest replica is done.</summary>
    internal double BubbleShare => Seconds > 0 ? 1 - (_replicas.Sum(step => step.Ranks.Sum(rank => rank.Busy)) / (_ranks.Length * Seconds)) : 0;

    /// <summary>Simulates; null where the steps do not belong to the run's schedules, as after a change of stages.</summary>
    /// <param name="status">The run, with the schedules of its replicas.</param>
    /// <param name="steps">Steps whose actions were recorded.</param>
    internal static SimulatedTimeline? Of(RunStatus status, IReadOnlyList<StepSummary> steps)
    {
        if (steps.Count == 0) return null;
        if (status.ReplicaSchedules is not { Count: > 0 } schedules)
            return status.Schedule.Length > 0 && Of(ScheduleText.Parse(status.Schedule), steps) is { } alike ? new SimulatedTimeline([alike]) : null;
        List<SimulatedStep> replicas = [];
        var first = 0;
        foreach (var schedule in schedules.Select(ScheduleText.Parse))
        {
            if (Of(schedule, [.. steps.Select(step => Part(step, first, schedule.RankCount))]) is not { } replica) return null;
            replicas.Add(replica);
            first += schedule.RankCount;
        }

        return new SimulatedTimeline(replicas);
    }

    /// <summary>The simulated actions of a rank of the run, in seconds from the step's start, and its idle share.</summary>
    internal (IEnumerable<ActionSpan> Spans, double Idle) Of(int rank)
    {
        var (step, place) = _ranks[rank % _ranks.Length];
        return (step.Spans(place), Seconds > 0 ? 1 - (step.Ranks[place].Busy / Seconds) : 0);
    }

    /// <summary>Seconds from the first recorded action of a step to the end of its last.</summary>
    internal static double SecondsOf(StepSummary step)
    {
        ExecutedSpan[] spans = [.. step.Ranks.SelectMany(rank => rank.Spans)];
        return (spans.Max(span => span.EndTicks) - spans.Min(span => span.StartTicks)) / TicksPerSecond;
    }

    /// <summary>Each rank's simulated actions, in seconds from the step's start: those of one replica where all are alike.</summary>
    /// <param name="most">At most so many actions of a rank.</param>
    internal JsonObject Json(int most) => new()
    {
        ["seconds"] = Seconds,
        ["bubble"] = BubbleShare,
        ["ranks"] = new JsonArray([.. Enumerable.Range(0, _ranks.Length).Select(rank => (JsonNode)new JsonObject
        {
            ["rank"] = rank,
            ["spans"] = new JsonArray([.. Of(rank).Spans.Take(most).Select(span => (JsonNode)new JsonObject { ["action"] = span.Action.ToString(), ["start"] = span.Start, ["end"] = span.End })]),
        })]),
    };

    private static SimulatedStep? Of(Schedule schedule, IReadOnlyList<StepSummary> steps)
    {
        TracedSteps traced = new();
        foreach (var step in steps) traced.OnNotice(new RunNotice.StepCommitted(step));
        var isOfSchedule = traced.Spans().All(span => span.Action.Stage < schedule.StageCount) && steps[^1].Ranks.Count is > 0 and var count && count % schedule.RankCount == 0;
        return isOfSchedule && MeasuredCosts.Of(traced, schedule) is { } costs ? Simulator.Run(schedule, new SimulationModel { Costs = costs }) : null;
    }

    // One replica's ranks, counted from 0 as its schedule does.
    private static StepSummary Part(StepSummary step, int first, int count) => step with
    {
        Ranks = [.. step.Ranks.Where(rank => rank.Rank >= first && rank.Rank < first + count).Select(rank => rank with { Rank = rank.Rank - first })],
    };
}
