using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// Adds the recomputation of activations: on the given stages each backward, or input-gradient half, gets an R right before it.
/// An R waits for nothing but its own forward, so that a stage whose gradient is still under way recomputes meanwhile. What it
/// restores is kept until the weight-gradient half: nothing is recomputed twice.
/// </summary>
public static class RecomputePass
{
    /// <param name="schedule">A training schedule without recomputation on these stages.</param>
    /// <param name="stages">The stages that drop something in their forwards.</param>
    /// <exception cref="ScheduleException">The schedule recomputes already.</exception>
    public static Schedule Apply(Schedule schedule, IEnumerable<int> stages)
    {
        var wanted = stages.ToHashSet();
        if (schedule.Actions.SelectMany(row => row).FirstOrDefault(action => action.Kind is ActionKind.Recompute && wanted.Contains(action.Stage)) is { Kind: ActionKind.Recompute } own)
            throw new ScheduleException($"Schedule {schedule.Name} recomputes on its own ({own}): set pipeline.schedule.recompute to none, or name a schedule without R.");
        return schedule.WithActions([.. schedule.Actions.Select(row => With(row, wanted))]);
    }

    /// <summary>The schedule without the recomputation of other stages: those in which no unit drops anything have nothing to make again.</summary>
    public static Schedule Only(Schedule schedule, IEnumerable<int> stages)
    {
        var wanted = stages.ToHashSet();
        return schedule.WithActions([.. schedule.Actions.Select(row => row.RemoveAll(action => action.Kind is ActionKind.Recompute && !wanted.Contains(action.Stage)))]);
    }

    private static ImmutableArray<StageAction> With(ImmutableArray<StageAction> row, HashSet<int> stages)
    {
        var result = ImmutableArray.CreateBuilder<StageAction>(row.Length);
        foreach (var action in row)
        {
            if (action.Kind.MakesInputGradient() && stages.Contains(action.Stage))
                result.Add(action with { Kind = ActionKind.Recompute });
            result.Add(action);
        }

        return result.ToImmutable();
    }
}
