using System.Collections.Immutable;
using Pipeline.Schedules;

namespace Pipeline.Tests.Training;

/// <summary>
/// Schedules that no generator makes: stages anywhere, backwards whole or split, recomputed or not, in any order that the data allows.
/// Drawn action by action from what could run next, so that every one of them is valid.
/// </summary>
internal static class AnySchedule
{
    internal static Schedule Draw(int seed, int rankCount, int stageCount, int microBatchCount)
    {
        var chance = new Random(seed);
        ImmutableArray<int> rankOfStage = Placement(chance, rankCount, stageCount);
        List<StageAction> open = [.. from stage in Enumerable.Range(0, stageCount) from microBatch in Enumerable.Range(0, microBatchCount) from action in Work(chance, stage, microBatch) select action];
        HashSet<StageAction> done = [];
        var rows = Enumerable.Range(0, rankCount).Select(_ => ImmutableArray.CreateBuilder<StageAction>()).ToArray();
        while (open.Count > 0)
        {
            var ready = open.Where(action => IsReady(action, open, done, stageCount)).ToArray();
            var next = ready[chance.Next(ready.Length)];
            open.Remove(next);
            done.Add(next);
            rows[rankOfStage[next.Stage]].Add(next);
        }

        return new Schedule("any", ScheduleMode.Train, microBatchCount, rankOfStage, [.. rows.Select(row => row.ToImmutable())]);
    }

    private static ImmutableArray<int> Placement(Random chance, int rankCount, int stageCount)
    {
        var ranks = Enumerable.Range(0, stageCount).Select(stage => stage < rankCount ? stage : chance.Next(rankCount)).ToArray();
        chance.Shuffle(ranks);
        return [.. ranks];
    }

    private static IEnumerable<StageAction> Work(Random chance, int stage, int microBatch)
    {
        yield return new(stage, ActionKind.Forward, microBatch);
        if (chance.Next(3) == 0) yield return new(stage, ActionKind.Recompute, microBatch);
        if (chance.Next(2) == 0)
        {
            yield return new(stage, ActionKind.Backward, microBatch);
            yield break;
        }

        yield return new(stage, ActionKind.InputGradient, microBatch);
        yield return new(stage, ActionKind.WeightGradient, microBatch);
    }

    private static bool IsReady(StageAction action, List<StageAction> open, HashSet<StageAction> done, int stageCount)
    {
        var (stage, kind, microBatch) = action;
        return kind switch
        {
            ActionKind.Forward => stage == 0 || Done(stage - 1, ActionKind.Forward),
            ActionKind.Recompute => Done(stage, ActionKind.Forward),
            ActionKind.WeightGradient => Done(stage, ActionKind.InputGradient),
            _ => Done(stage, ActionKind.Forward) && !open.Contains(action with { Kind = ActionKind.Recompute })
                && (stage == stageCount - 1 || Done(stage + 1, ActionKind.Backward) || Done(stage + 1, ActionKind.InputGradient)),
        };

        bool Done(int at, ActionKind what) => done.Contains(new StageAction(at, what, microBatch));
    }
}
