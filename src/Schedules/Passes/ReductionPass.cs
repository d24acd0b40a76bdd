namespace Pipeline.Schedules;

/// <summary>
/// Adds the reduction over replicas to a schedule that ends its step: on each rank, after its micro-batches, first the reduce-scatters of
/// all its stages, then their all-gathers. What a reduce-scatter waits for is sent with the last leaf of a stage, so no order of replicas
/// can block; the tied sums come after, since they add up what is summed already.
/// </summary>
public static class ReductionPass
{
    /// <param name="schedule">A training schedule that ends its step and does not reduce yet.</param>
    public static Schedule Apply(Schedule schedule)
    {
        if (!schedule.EndsStep || schedule.Reduces)
            throw new InvalidOperationException($"schedule {schedule.Name}: only a schedule that ends its step, and does not reduce yet, gets a reduction");
        return schedule.WithActions([.. schedule.Actions.Select((row, rank) =>
        {
            var end = row.TakeWhile(action => !action.Kind.IsStepLevel()).Count();
            return row.InsertRange(end, schedule.StagesOf(rank).Select(stage => StageAction.StepLevel(stage, ActionKind.ReduceScatter))
                .Concat(schedule.StagesOf(rank).Select(stage => StageAction.StepLevel(stage, ActionKind.AllGather))));
        })]);
    }
}
