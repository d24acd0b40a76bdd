using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Why a step of the critical path could not begin earlier.</summary>
public enum CriticalCause : byte
{
    /// <summary>It begins the step.</summary>
    Start,

    /// <summary>Its rank was at work on the action before.</summary>
    Rank,

    /// <summary>Its input was made on another rank, by the action before.</summary>
    Input,
}

/// <summary>One action of the critical path.</summary>
/// <param name="Span">The action with its times.</param>
/// <param name="Cause">What it had to wait for: the action before it on the path.</param>
/// <param name="Delay">Time between the end of the action before and its start: transfer, or a reduction.</param>
public readonly record struct CriticalAction(ActionSpan Span, CriticalCause Cause, double Delay);

/// <summary>
/// A chain of actions without slack from the start of a simulated step to its end: to make the step shorter, something on it has
/// to become shorter. Durations and delays add up to the step's duration.
/// </summary>
public sealed class CriticalPath
{
    private const double Tolerance = 1e-9;

    private CriticalPath(ImmutableArray<CriticalAction> actions) => Actions = actions;

    /// <summary>From the first to the last.</summary>
    public ImmutableArray<CriticalAction> Actions { get; }

    /// <summary>Time between its actions.</summary>
    public double Delay => Actions.Sum(action => action.Delay);

    /// <summary>Time in actions of a kind.</summary>
    public double TimeIn(ActionKind kind) => Actions.Where(action => action.Span.Action.Kind == kind).Sum(action => action.Span.Duration);

    /// <summary>Time in actions of a rank.</summary>
    public double TimeOn(int rank) => Actions.Where(action => action.Span.Rank == rank).Sum(action => action.Span.Duration);

    /// <summary>Walks back from the action that ends last.</summary>
    public static CriticalPath Of(SimulatedStep step)
    {
        var schedule = step.Schedule;
        var cursors = schedule.Actions.Select(row => row.Length - 1).ToArray();
        var rank = Enumerable.Range(0, schedule.RankCount).Where(candidate => cursors[candidate] >= 0)
            .MaxBy(candidate => step.Span(candidate, cursors[candidate]).End);
        var path = new List<CriticalAction>();
        var position = cursors[rank];
        while (true)
        {
            var span = step.Span(rank, position);
            cursors[rank] = position;
            var previousEnd = position > 0 ? step.Span(rank, position - 1).End : 0;
            var source = span.Start > previousEnd + Tolerance ? SourceOf(step, span, cursors) : null;
            if (source is var (from, at))
            {
                path.Add(new CriticalAction(span, CriticalCause.Input, span.Start - step.Span(from, at).End));
                (rank, position) = (from, at);
            }
            else if (position > 0)
            {
                path.Add(new CriticalAction(span, CriticalCause.Rank, span.Start - previousEnd));
                position--;
            }
            else
            {
                path.Add(new CriticalAction(span, CriticalCause.Start, span.Start));
                break;
            }
        }

        path.Reverse();
        return new CriticalPath([.. path]);
    }

    // The action on another rank that made the input, or the last of those that a barrier waits for.
    private static (int Rank, int Position)? SourceOf(SimulatedStep step, ActionSpan span, int[] cursors)
    {
        var (schedule, action) = (step.Schedule, span.Action);
        switch (action.Kind)
        {
            case ActionKind.Forward when action.Stage > 0:
                return Find(step, action.Stage - 1, candidate => candidate == action with { Stage = action.Stage - 1 }, cursors);
            case ActionKind.Backward or ActionKind.InputGradient when action.Stage < schedule.StageCount - 1:
                return Find(step, action.Stage + 1, candidate => candidate.Kind.MakesInputGradient() && candidate.MicroBatch == action.MicroBatch, cursors);
            case ActionKind.TiedSum:
                return LastOf(step, span, schedule.TiedStages, static candidate => candidate.Kind.MakesLeaf());
            case ActionKind.Norm:
                return LastOf(step, span, [action.Stage], static candidate => candidate.Kind.MakesLeaf());
            case ActionKind.Optimizer:
                return LastOf(step, span, [.. Enumerable.Range(0, schedule.StageCount)], static candidate => candidate.Kind is ActionKind.Norm);
            default:
                return null;
        }
    }

    // The path goes back in time, so that on each rank it only ever moves towards the front of the list.
    private static (int Rank, int Position)? Find(SimulatedStep step, int stage, Func<StageAction, bool> isMaker, int[] cursors)
    {
        var rank = step.Schedule.RankOfStage[stage];
        for (var position = cursors[rank]; position >= 0; position--)
            if (step.Schedule.Actions[rank][position] is var candidate && candidate.Stage == stage && isMaker(candidate))
            {
                cursors[rank] = position;
                return (rank, position);
            }

        return null;
    }

    private static (int Rank, int Position)? LastOf(SimulatedStep step, ActionSpan span, ImmutableArray<int> stages, Func<StageAction, bool> isMaker)
    {
        (int Rank, int Position)? last = null;
        var lastEnd = double.NegativeInfinity;
        foreach (var stage in stages)
        {
            var rank = step.Schedule.RankOfStage[stage];
            var row = step.Schedule.Actions[rank];
            for (var position = row.Length - 1; position >= 0; position--)
                if (row[position].Stage == stage && isMaker(row[position]))
                {
                    var end = step.Span(rank, position).End;
                    if (end <= span.Start + Tolerance && end > lastEnd && row[position] != span.Action)
                        (last, lastEnd) = ((rank, position), end);
                    break;
                }
        }

        return last;
    }
}
