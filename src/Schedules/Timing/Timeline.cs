using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>How a rank spent a step: the three add up to the step's duration.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="Busy">Time in actions.</param>
/// <param name="Wait">
/// Time in which the next action's inputs had been made but the action had not begun: the message was under way or not yet
/// seen. The runtime's share of the idle time.
/// </param>
/// <param name="Bubble">Time in which the inputs had not been made yet, or nothing was left to do: the schedule's share.</param>
public readonly record struct RankUsage(int Rank, double Busy, double Wait, double Bubble);

/// <summary>
/// When each action of a step started and ended. The same type serves predictions and measured runs, so that whatever draws
/// or compares them needs to know only this.
/// </summary>
public sealed class Timeline
{
    private readonly IReadOnlyList<double>? _freeAt;

    internal Timeline(Schedule schedule, ImmutableArray<ImmutableArray<ActionSpan>> rows, double start, double end, IReadOnlyList<double>? freeAt = null)
    {
        _freeAt = freeAt;
        Schedule = schedule;
        Rows = rows;
        Start = start;
        End = end;
        Usage = MeasureUsage();
    }

    /// <summary>What was run.</summary>
    public Schedule Schedule { get; }

    /// <summary>For each rank its spans by start.</summary>
    public ImmutableArray<ImmutableArray<ActionSpan>> Rows { get; }

    /// <summary>Where the step begins.</summary>
    public double Start { get; }

    /// <summary>Where the step ends.</summary>
    public double End { get; }

    /// <summary>How each rank spent the step.</summary>
    public ImmutableArray<RankUsage> Usage { get; }

    /// <summary>All spans, rank by rank.</summary>
    public IEnumerable<ActionSpan> Spans => Rows.SelectMany(row => row);

    /// <summary>The duration of the step (the makespan).</summary>
    public double Duration => End - Start;

    /// <summary>Idle time of all ranks ÷ (ranks × duration), from 0 to 1; idle is wait and bubble together.</summary>
    public double BubbleShare => Duration > 0 ? Usage.Sum(usage => usage.Wait + usage.Bubble) / (Usage.Length * Duration) : 0;

    /// <summary>The timeline of a measured step.</summary>
    /// <param name="schedule">What was run.</param>
    /// <param name="spans">In any order; the spans of a rank do not overlap.</param>
    /// <param name="start">Where the step began; null means with its first action.</param>
    /// <param name="end">Where the step ended; null means with its last action.</param>
    /// <param name="freeAt">By rank, when it was done with the step before: nothing is idle until then. Null means at the start.</param>
    /// <exception cref="ArgumentException">There are no spans, or a rank does not exist.</exception>
    public static Timeline FromSpans(Schedule schedule, IEnumerable<ActionSpan> spans, double? start = null, double? end = null, IReadOnlyList<double>? freeAt = null)
    {
        var byRank = spans.ToLookup(span => span.Rank);
        if (byRank.Count == 0 || byRank.Any(row => row.Key < 0 || row.Key >= schedule.RankCount))
            throw new ArgumentException($"expected spans of ranks 0 to {schedule.RankCount - 1}, found those of [{string.Join(", ", byRank.Select(row => row.Key))}]", nameof(spans));
        ImmutableArray<ImmutableArray<ActionSpan>> rows = [.. Enumerable.Range(0, schedule.RankCount).Select(rank => InOrder(byRank[rank]))];
        return new Timeline(
            schedule, rows,
            start ?? rows.Where(row => !row.IsEmpty).Min(row => row[0].Start),
            end ?? rows.Where(row => !row.IsEmpty).Max(row => row[^1].End),
            freeAt);
    }

    // Spans without duration may share a start; the kinds of the step's end are numbered in their order.
    private static ImmutableArray<ActionSpan> InOrder(IEnumerable<ActionSpan> row) =>
        [.. row.OrderBy(span => span.Start).ThenBy(span => span.End).ThenBy(span => span.Action.Kind)];

    private ImmutableArray<RankUsage> MeasureUsage()
    {
        var inputs = new InputTimes(Schedule);
        foreach (var row in Rows)
            foreach (var span in row)
                inputs.Ended(span.Action, span.End);
        return [.. Rows.Select((row, rank) => UsageOf(rank, row, inputs))];
    }

    // The gap before a span is bubble until its input was made on another rank, and wait from then on.
    private RankUsage UsageOf(int rank, ImmutableArray<ActionSpan> row, InputTimes inputs)
    {
        var (busy, wait, bubble) = (0.0, 0.0, 0.0);
        var free = Math.Max(Start, _freeAt?[rank] ?? Start);
        foreach (var span in row)
        {
            var ready = Math.Clamp(inputs.RemoteInputOf(span.Action), free, Math.Max(free, span.Start));
            bubble += ready - free;
            wait += Math.Max(free, span.Start) - ready;
            busy += Math.Max(free, span.End) - Math.Max(free, span.Start);
            free = Math.Max(free, span.End);
        }

        return new RankUsage(rank, busy, wait, bubble + Math.Max(0, End - free));
    }
}
