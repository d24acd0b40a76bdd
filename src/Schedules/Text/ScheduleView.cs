using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>A timeline in plain values, for JSON: numbers in the timeline's unit of time, actions in their text form.</summary>
/// <param name="Name">The schedule's name.</param>
/// <param name="RankCount">Ranks.</param>
/// <param name="StageCount">Virtual stages over all ranks.</param>
/// <param name="MicroBatchCount">Micro-batches of the step.</param>
/// <param name="Duration">Duration of the step.</param>
/// <param name="BubbleShare">Idle ÷ (ranks × duration), from 0 to 1.</param>
/// <param name="Ranks">What each rank does.</param>
public sealed record ScheduleView(
    string Name,
    int RankCount,
    int StageCount,
    int MicroBatchCount,
    double Duration,
    double BubbleShare,
    ImmutableArray<RankView> Ranks)
{
    /// <summary>The view of a predicted or measured timeline.</summary>
    public static ScheduleView Of(Timeline timeline)
    {
        var schedule = timeline.Schedule;
        var peaks = ScheduleValidator.PeakInFlight(schedule);
        return new ScheduleView(
            schedule.Name, schedule.RankCount, schedule.StageCount, schedule.MicroBatchCount, timeline.Duration, timeline.BubbleShare,
            [.. timeline.Usage.Select(usage => new RankView(
                usage.Rank, schedule.StagesOf(usage.Rank), usage.Busy, usage.Wait, usage.Bubble, peaks[usage.Rank],
                [.. timeline.Rows[usage.Rank].Select(span => new SpanView(span.Action.ToString(), span.Start, span.End))]))]);
    }
}

/// <summary>One rank of a <see cref="ScheduleView"/>.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="Stages">The stages that it holds.</param>
/// <param name="Busy">Time in actions.</param>
/// <param name="Wait">Idle time with the inputs made.</param>
/// <param name="Bubble">Idle time without.</param>
/// <param name="PeakInFlight">The most (stage, micro-batch) pairs held at a time.</param>
/// <param name="Spans">Its actions in order.</param>
public sealed record RankView(
    int Rank,
    ImmutableArray<int> Stages,
    double Busy,
    double Wait,
    double Bubble,
    int PeakInFlight,
    ImmutableArray<SpanView> Spans);

/// <summary>One action of a <see cref="RankView"/>.</summary>
public readonly record struct SpanView(string Action, double Start, double End);
