using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>The outcome of a simulation: how long the step takes, how each rank spends it, what it holds, what it hinges on.</summary>
public sealed class SimulatedStep
{
    private readonly SimulationRecord _record;

    internal SimulatedStep(Schedule schedule, SimulationModel model, SimulationRecord record, SimulatedInputs inputs)
    {
        Schedule = schedule;
        Model = model;
        _record = record;
        Duration = Enumerable.Range(0, schedule.RankCount).Max(EndOf);
        Memory = model.Memory.IsEmpty ? [] : MemoryUse.Of(schedule, model.Memory);
        Ranks = [.. Enumerable.Range(0, schedule.RankCount).Select(RankOf)];
        Reductions = model.Reductions is null ? [] : [.. Enumerable.Range(0, schedule.StageCount).Select(stage => ReductionOf(stage, model.Reductions, inputs))];
    }

    /// <summary>What was simulated.</summary>
    public Schedule Schedule { get; }

    /// <summary>Under which model.</summary>
    public SimulationModel Model { get; }

    /// <summary>The duration of the step.</summary>
    public double Duration { get; }

    /// <summary>When the rank's last action ends; 0 for a rank without actions.</summary>
    public double EndOf(int rank) => _record.Ends(rank) is { Length: > 0 } ends ? ends[^1] : 0;

    /// <summary>How each rank spends the step.</summary>
    public ImmutableArray<SimulatedRank> Ranks { get; }

    /// <summary>For each rank the bytes that it holds at the peak; empty where the model has no memory.</summary>
    public ImmutableArray<RankMemory> Memory { get; }

    /// <summary>For each stage its reduction; empty where the model has none.</summary>
    public ImmutableArray<SimulatedReduction> Reductions { get; }

    /// <summary>The number of actions.</summary>
    public long ActionCount => Schedule.Actions.Sum(row => (long)row.Length);

    /// <summary>Not computing ÷ (ranks × duration), from 0 to 1: transfer, wait and bubble.</summary>
    public double BubbleShare => Duration > 0 ? Ranks.Sum(rank => rank.Transfer + rank.Wait + rank.Bubble) / (Ranks.Length * Duration) : 0;

    /// <summary>The action of a rank at a place with its times.</summary>
    public ActionSpan Span(int rank, int position) =>
        new(rank, Schedule.Actions[rank][position], _record.Starts(rank)[position], _record.Ends(rank)[position]);

    /// <summary>The spans of a rank that overlap a window of time, in order.</summary>
    public IEnumerable<ActionSpan> Spans(int rank, double from = 0, double to = double.PositiveInfinity)
    {
        var ends = _record.Ends(rank);
        var first = Array.BinarySearch(ends, from);
        for (var position = first < 0 ? ~first : first; position < ends.Length && _record.Starts(rank)[position] <= to; position++)
            yield return Span(rank, position);
    }

    /// <summary>The step as a timeline, for whatever draws or compares one. Meant for steps of a size that can be looked at.</summary>
    public Timeline ToTimeline() => new(Schedule, [.. Enumerable.Range(0, Schedule.RankCount).Select(rank => Spans(rank).ToImmutableArray())], 0, Duration);

    private SimulatedRank RankOf(int rank)
    {
        var totals = _record.Totals(rank);
        var rest = Math.Max(0, Duration - totals.Busy - totals.Transfer - totals.Wait - totals.Bubble);
        return new(rank, totals.Busy, totals.Transfer, totals.Wait, totals.Bubble + rest);
    }

    private SimulatedReduction ReductionOf(int stage, IReductionModel reductions, SimulatedInputs inputs)
    {
        var end = inputs.ReductionEnds[stage];
        return new(stage, end - reductions.Cost(stage, Schedule.RankOfStage[stage]), end, inputs.LeavesMade[stage]);
    }
}

/// <summary>How a rank spends a simulated step; the four add up to its duration.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="Busy">In actions.</param>
/// <param name="Transfer">Making and taking apart messages, where no other lane does it.</param>
/// <param name="Wait">Free, with the input made but still under way.</param>
/// <param name="Bubble">Free, with the input not made, or with nothing left to do.</param>
public readonly record struct SimulatedRank(int Rank, double Busy, double Transfer, double Wait, double Bubble);

/// <summary>One stage's reduction.</summary>
/// <param name="Stage">The stage.</param>
/// <param name="Start">When its lane took it up.</param>
/// <param name="End">When it was done.</param>
/// <param name="LeavesMade">When it could have begun.</param>
public readonly record struct SimulatedReduction(int Stage, double Start, double End, double LeavesMade);
