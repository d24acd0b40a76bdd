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
        return [.. Enumerable.Range(0, schedule.RankCount).Select(rank => PeakOf(schedule, rank, memory))];
    }

    private static RankMemory PeakOf(Schedule schedule, int rank, ImmutableArray<StageMemory> memory)
    {
        var stages = schedule.StagesOf(rank);
        var offset = stages.Select((stage, index) => (stage, index)).ToDictionary(pair => pair.stage, pair => pair.index * schedule.MicroBatchCount);
        var recomputes = new BitArray(stages.Length * schedule.MicroBatchCount);
        foreach (var action in schedule.Actions[rank])
            if (action.Kind is ActionKind.Recompute)
                recomputes[offset[action.Stage] + action.MicroBatch] = true;

        var state = stages.Sum(stage => memory[stage].Static);
        var (held, peak) = (0L, 0L);
        foreach (var action in schedule.Actions[rank])
        {
            if (action.Kind.IsStepLevel())
                continue;
            var (before, after) = Change(action, memory[action.Stage], recomputes[offset[action.Stage] + action.MicroBatch]);
            // While it runs, an action needs what it leaves and what it takes away.
            peak = Math.Max(peak, held + before);
            held += after;
        }

        return new RankMemory(rank, state, peak);
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
