using Pipeline.Schedules;

namespace Pipeline.Tests.Schedules;

/// <summary>
/// The rules of a valid schedule, written a second time and as plainly as possible: searches every order in which ranks can
/// move instead of trusting that the order does not matter. Only for tiny schedules.
/// </summary>
internal static class ProgressOracle
{
    public static bool Accepts(Schedule schedule, ScheduleLimits limits)
    {
        var rows = schedule.Actions.Select(row => row.ToArray()).ToArray();
        return HasEachActionOnce(schedule, rows) && EndsInPhases(rows) && LeavesAscend(rows) && Holds(schedule, rows, limits)
            && CanFinish(schedule, rows, limits.MailboxCapacity);
    }

    private static bool HasEachActionOnce(Schedule schedule, StageAction[][] rows)
    {
        for (var stage = 0; stage < schedule.StageCount; stage++)
        {
            var own = rows[schedule.RankOfStage[stage]];
            for (var microBatch = 0; microBatch < schedule.MicroBatchCount; microBatch++)
            {
                int Count(ActionKind kind) => own.Count(action => action == new StageAction(stage, kind, microBatch));
                var backward = (Count(ActionKind.Backward), Count(ActionKind.InputGradient), Count(ActionKind.WeightGradient));
                if (Count(ActionKind.Forward) != 1 || (backward != (1, 0, 0) && backward != (0, 1, 1)) || Count(ActionKind.Recompute) > 1)
                    return false;
            }

            int End(ActionKind kind) => own.Count(action => action == StageAction.StepLevel(stage, kind));
            var once = schedule.EndsStep ? 1 : 0;
            if (End(ActionKind.ReduceScatter) != (schedule.Reduces ? 1 : 0) || End(ActionKind.AllGather) != (schedule.Reduces && !schedule.SharesOptimizer ? 1 : 0)
                || End(ActionKind.WeightGather) != (schedule.SharesOptimizer || schedule.StepsLocally ? 1 : 0))
                return false;
            if (End(ActionKind.Norm) != once || End(ActionKind.Optimizer) != once || End(ActionKind.TiedSum) != (schedule.TiedStages.Contains(stage) ? 1 : 0))
                return false;
        }

        return Enumerable.Range(0, rows.Length).All(rank => rows[rank].All(action => schedule.RankOfStage[action.Stage] == rank));
    }

    private static bool EndsInPhases(StageAction[][] rows) => rows.All(row =>
        row.Select(action => "SGTNOA".IndexOf(action.Kind.Letter(), StringComparison.Ordinal)).ToArray() is var phases && phases.SequenceEqual(phases.Order()));

    private static bool LeavesAscend(StageAction[][] rows) => rows.All(row =>
        row.Where(action => action.Kind is ActionKind.Backward or ActionKind.WeightGradient).GroupBy(action => action.Stage)
            .All(leaves => leaves.Select(leaf => leaf.MicroBatch).SequenceEqual(leaves.Select(leaf => leaf.MicroBatch).Order())));

    private static bool Holds(Schedule schedule, StageAction[][] rows, ScheduleLimits limits)
    {
        for (var rank = 0; rank < schedule.RankCount; rank++)
            for (var length = 1; length <= rows[rank].Length; length++)
            {
                var begun = rows[rank].Take(length).ToArray();
                var held = begun.Count(action => action.Kind is ActionKind.Forward) - begun.Count(action => action.Kind is ActionKind.Backward or ActionKind.WeightGradient);
                if (held > limits.InFlightPerRank[rank])
                    return false;
            }

        return true;
    }

    // Depth first over the vectors of positions.
    private static bool CanFinish(Schedule schedule, StageAction[][] rows, int capacity)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var open = new Stack<int[]>();
        open.Push(new int[rows.Length]);
        while (open.TryPop(out var next))
        {
            if (!seen.Add(string.Join(',', next)))
                continue;
            if (rows.Select((row, rank) => next[rank] == row.Length).All(isFinished => isFinished))
                return true;
            var done = rows.SelectMany((row, rank) => row.Take(next[rank])).ToHashSet();
            for (var rank = 0; rank < rows.Length; rank++)
                if (next[rank] < rows[rank].Length && CanRun(schedule, rows[rank][next[rank]], done, capacity))
                    open.Push([.. next.Select((position, index) => index == rank ? position + 1 : position)]);
        }

        return false;
    }

    private static bool CanRun(Schedule schedule, StageAction action, HashSet<StageAction> done, int capacity)
    {
        var (stage, microBatch) = (action.Stage, action.MicroBatch);
        bool Done(int at, ActionKind kind) => done.Contains(new StageAction(at, kind, microBatch));
        bool GradientDone(int at) => Done(at, ActionKind.Backward) || Done(at, ActionKind.InputGradient);
        int Forwards(int at) => done.Count(other => other.Stage == at && other.Kind is ActionKind.Forward);
        int Gradients(int at) => done.Count(other => other.Stage == at && other.Kind is ActionKind.Backward or ActionKind.InputGradient && other.Stage == at);
        bool Remote(int other) => other >= 0 && other < schedule.StageCount && schedule.RankOfStage[other] != schedule.RankOfStage[stage];
        bool LeavesDone(int at) => done.Count(other => other.Stage == at && other.Kind is ActionKind.Backward or ActionKind.WeightGradient && other.Stage == at) == schedule.MicroBatchCount;
        var isRestored = !schedule.Actions.Any(row => row.Contains(new StageAction(stage, ActionKind.Recompute, microBatch))) || Done(stage, ActionKind.Recompute);
        return action.Kind switch
        {
            ActionKind.Forward => (stage == 0 || Done(stage - 1, ActionKind.Forward)) && (!Remote(stage + 1) || Forwards(stage) - Forwards(stage + 1) < capacity),
            ActionKind.Backward or ActionKind.InputGradient =>
                Done(stage, ActionKind.Forward) && isRestored && (stage == schedule.StageCount - 1 || GradientDone(stage + 1))
                && (!Remote(stage - 1) || Gradients(stage) - Gradients(stage - 1) < capacity),
            ActionKind.WeightGradient => Done(stage, ActionKind.InputGradient),
            ActionKind.Recompute => Done(stage, ActionKind.Forward),
            ActionKind.TiedSum => schedule.TiedStages.All(LeavesDone),
            ActionKind.ReduceScatter or ActionKind.AllGather or ActionKind.WeightGather or ActionKind.Norm => LeavesDone(stage),
            _ => done.Count(other => other.Kind is ActionKind.Norm) == schedule.StageCount,
        };
    }
}
