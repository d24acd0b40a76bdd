using System.Collections;
using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// How much memory each rank holds at its peak. It follows from the order of its actions alone, not from their times: a forward
/// adds its micro-batch's activations, a backward takes them away, and in between they shrink and grow where the schedule
/// recomputes or splits.
/// </summary>
public static class MemoryUse
{
    /// <summary>The peak of each rank.</summary>
    /// <param name="schedule">A valid schedule.</param>
    /// <param name="memory">One entry per stage.</param>
    public static ImmutableArray<RankMemory> Of(Schedule schedule, ImmutableArray<StageMemory> memory)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(memory.Length, schedule.StageCount, nameof(memory));
        return [.. Enumerable.Range(0, schedule.RankCount).Select(rank => new RankMemory(
            rank, StateOf(schedule, rank, memory), HeldAt(schedule, rank, memory).DefaultIfEmpty(0).Max()))];
    }

    /// <summary>The activations that each stage holds at its own peak, in bytes. The stages of a rank need not have it at the same time: together they may hold less.</summary>
    /// <param name="schedule">A valid schedule.</param>
    /// <param name="memory">One entry per stage.</param>
    public static ImmutableArray<long> OfStages(Schedule schedule, ImmutableArray<StageMemory> memory)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(memory.Length, schedule.StageCount, nameof(memory));
        return [.. Enumerable.Range(0, schedule.StageCount).Select(stage =>
            HeldAt(schedule, [.. schedule.Actions[schedule.RankOfStage[stage]].Where(action => action.Stage == stage)], [stage], memory).DefaultIfEmpty(0).Max())];
    }

    /// <summary>The place of the first action with which a rank holds more than it has; null where it never does.</summary>
    public static (int Position, long Bytes)? FirstOver(Schedule schedule, int rank, ImmutableArray<StageMemory> memory, long available)
    {
        var state = StateOf(schedule, rank, memory);
        var position = 0;
        foreach (var held in HeldAt(schedule, rank, memory))
        {
            if (state + held > available)
                return (position, state + held);
            position++;
        }

        return null;
    }

    private static long StateOf(Schedule schedule, int rank, ImmutableArray<StageMemory> memory) =>
        schedule.StagesOf(rank).Sum(stage => memory[stage].Static);

    // What the rank holds while each of its actions runs.
    private static IEnumerable<long> HeldAt(Schedule schedule, int rank, ImmutableArray<StageMemory> memory) =>
        HeldAt(schedule, schedule.Actions[rank], schedule.StagesOf(rank), memory);

    private static IEnumerable<long> HeldAt(Schedule schedule, ImmutableArray<StageAction> actions, ImmutableArray<int> stages, ImmutableArray<StageMemory> memory)
    {
        var offset = stages.Select((stage, index) => (stage, index)).ToDictionary(pair => pair.stage, pair => pair.index * schedule.MicroBatchCount);
        var recomputes = new BitArray(stages.Length * schedule.MicroBatchCount);
        foreach (var action in actions)
            if (action.Kind is ActionKind.Recompute)
                recomputes[offset[action.Stage] + action.MicroBatch] = true;

        var held = 0L;
        foreach (var action in actions)
        {
            if (action.Kind.IsStepLevel())
            {
                yield return held;
                continue;
            }

            var (during, after) = Change(action, memory[action.Stage], recomputes[offset[action.Stage] + action.MicroBatch]);
            // While it runs, an action needs what it leaves and what it takes away.
            yield return held + during;
            held += after;
        }
    }

    // What is held on top while the action runs, and what it changes for good.
    private static (long During, long After) Change(StageAction action, StageMemory memory, bool recomputes) => action.Kind switch
    {
        ActionKind.Forward => (memory.Kept, recomputes ? memory.Dropped : memory.Kept),
        ActionKind.Recompute => (memory.Kept - memory.Dropped, memory.Kept - memory.Dropped),
        ActionKind.Backward => (0, -memory.Kept),
        ActionKind.InputGradient => (Math.Max(0, memory.Deferred - memory.Kept), memory.Deferred - memory.Kept),
        _ => (0, -memory.Deferred),
    };
}

/// <summary>What a rank holds at its peak, in bytes.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="State">Weights, gradients and moments of its stages.</param>
/// <param name="Activations">Activations and what waits for weight gradients, at the peak.</param>
public readonly record struct RankMemory(int Rank, long State, long Activations)
{
    /// <summary>Both.</summary>
    public long Total => State + Activations;
}
