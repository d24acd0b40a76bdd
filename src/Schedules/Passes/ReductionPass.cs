using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// Adds the reduction over replicas to a schedule that ends its step: on each rank, after its micro-batches, first the reduce-scatters of
/// all its stages, then their all-gathers. What a reduce-scatter waits for is sent with the last leaf of a stage, so no order of replicas
/// can block; the tied sums come after, since they add up what is summed already. Where each replica updates a share of the weights, no
/// gradient goes back: the weights are gathered after the optimizers.
/// </summary>
public static class ReductionPass
{
    /// <param name="schedule">A training schedule that ends its step and does not reduce yet.</param>
    /// <param name="sharesOptimizer">Whether each replica updates a share.</param>
    public static Schedule Apply(Schedule schedule, bool sharesOptimizer = false)
    {
        if (!schedule.EndsStep || schedule.Reduces)
            throw new InvalidOperationException($"schedule {schedule.Name}: only a schedule that ends its step, and does not reduce yet, gets a reduction");
        return schedule.WithActions([.. schedule.Actions.Select((row, rank) => sharesOptimizer
            ? AfterMicroBatches(row, All(rank, ActionKind.ReduceScatter)).AddRange(All(rank, ActionKind.WeightGather))
            : AfterMicroBatches(row, All(rank, ActionKind.ReduceScatter).Concat(All(rank, ActionKind.AllGather))))]);

        IEnumerable<StageAction> All(int rank, ActionKind kind) => schedule.StagesOf(rank).Select(stage => StageAction.StepLevel(stage, kind));
    }

    /// <summary>For replicas that take steps of their own: on each rank, behind everything else, the weights of all its stages are brought together.</summary>
    /// <param name="schedule">A training schedule that ends its step and exchanges nothing yet.</param>
    public static Schedule ApplyLocally(Schedule schedule)
    {
        if (!schedule.EndsStep || schedule.Exchanges)
            throw new InvalidOperationException($"schedule {schedule.Name}: only a schedule that ends its step, and does not exchange yet, gets an exchange");
        return schedule.WithActions([.. schedule.Actions.Select((row, rank) =>
            row.AddRange(schedule.StagesOf(rank).Select(stage => StageAction.StepLevel(stage, ActionKind.WeightGather))))]);
    }

    private static ImmutableArray<StageAction> AfterMicroBatches(ImmutableArray<StageAction> row, IEnumerable<StageAction> actions) =>
        row.InsertRange(row.TakeWhile(action => !action.Kind.IsStepLevel()).Count(), actions);
}
