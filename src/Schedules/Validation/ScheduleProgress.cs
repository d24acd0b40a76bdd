using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// Runs a schedule without time: each rank runs its next action as soon as its inputs are there and there is room for its
/// output. Which rank moves first does not matter, since the k-th message on an edge waits only for the (k − capacity)-th
/// one to be read and both are fixed by the ranks' lists; so what is blocked at the end is blocked in every timing.
/// </summary>
/// <remarks>
/// An action claims the room for its output before it takes its input: the strictest of the ways in which a bounded
/// mailbox can be built. What runs here runs with any of them, and with any larger capacity.
/// </remarks>
internal sealed class ScheduleProgress
{
    private readonly Schedule _schedule;
    private readonly int _capacity;
    private readonly Action<int, StageAction>? _visit;
    private readonly int[] _next;
    private readonly bool[] _forwardDone;
    private readonly bool[] _gradientDone;
    private readonly int[] _unreadActivations;
    private readonly int[] _unreadGradients;
    private readonly int[] _leavesLeft;
    private readonly Queue<int> _runnable = new();
    private readonly bool[] _isQueued;
    private int _normsLeft;

    private ScheduleProgress(Schedule schedule, int mailboxCapacity, Action<int, StageAction>? visit)
    {
        _schedule = schedule;
        _capacity = mailboxCapacity;
        _visit = visit;
        _next = new int[schedule.RankCount];
        _isQueued = new bool[schedule.RankCount];
        _forwardDone = new bool[schedule.CellCount];
        _gradientDone = new bool[schedule.CellCount];
        _unreadActivations = new int[schedule.StageCount];
        _unreadGradients = new int[schedule.StageCount];
        _leavesLeft = new int[schedule.StageCount];
        Array.Fill(_leavesLeft, schedule.MicroBatchCount);
        _normsLeft = schedule.StageCount;
    }

    /// <summary>For each rank the position of its next action: the list's length where it has finished.</summary>
    public ImmutableArray<int> Next => [.. _next];

    /// <summary>True where every rank has finished its list.</summary>
    public bool IsComplete => !Enumerable.Range(0, _schedule.RankCount).Any(IsUnfinished);

    /// <summary>Runs as far as it goes; <paramref name="visit"/> sees (rank, action) in an order that respects every dependence.</summary>
    public static ScheduleProgress Run(Schedule schedule, int mailboxCapacity = int.MaxValue, Action<int, StageAction>? visit = null)
    {
        var progress = new ScheduleProgress(schedule, mailboxCapacity, visit);
        for (var rank = 0; rank < schedule.RankCount; rank++)
            progress.Wake(rank);
        while (progress._runnable.TryDequeue(out var rank))
        {
            progress._isQueued[rank] = false;
            progress.Advance(rank);
        }

        return progress;
    }

    /// <summary>True where the rank still has actions: after the run, where it is blocked.</summary>
    public bool IsUnfinished(int rank) => _next[rank] < _schedule.Actions[rank].Length;

    /// <summary>What the next action of an unfinished rank waits for; null where it could run.</summary>
    public string? Obstacle(int rank)
    {
        var action = _schedule.Actions[rank][_next[rank]];
        var (stage, microBatch) = (action.Stage, action.MicroBatch);
        switch (action.Kind)
        {
            case ActionKind.Forward:
                if (stage > 0 && !_forwardDone[_schedule.Cell(stage - 1, microBatch)])
                    return Missing(new StageAction(stage - 1, ActionKind.Forward, microBatch));
                return HasRoom(stage, stage + 1, _unreadActivations) ? null : NoRoom(stage + 1);
            case ActionKind.Backward or ActionKind.InputGradient:
                if (!_forwardDone[_schedule.Cell(stage, microBatch)])
                    return Missing(new StageAction(stage, ActionKind.Forward, microBatch));
                if (stage < _schedule.StageCount - 1 && !_gradientDone[_schedule.Cell(stage + 1, microBatch)])
                    return $"it waits for the gradient of micro-batch {microBatch} from stage {stage + 1} on rank {_schedule.RankOfStage[stage + 1]}";
                return HasRoom(stage, stage - 1, _unreadGradients) ? null : NoRoom(stage - 1);
            case ActionKind.WeightGradient:
                return _gradientDone[_schedule.Cell(stage, microBatch)] ? null : Missing(new StageAction(stage, ActionKind.InputGradient, microBatch));
            case ActionKind.Recompute:
                return _forwardDone[_schedule.Cell(stage, microBatch)] ? null : Missing(new StageAction(stage, ActionKind.Forward, microBatch));
            default:
                return StepEndObstacle(action);
        }
    }

    private string? StepEndObstacle(StageAction action)
    {
        if (action.Kind is ActionKind.TiedSum)
            foreach (var stage in _schedule.TiedStages)
                if (_leavesLeft[stage] > 0)
                    return $"it waits for {_leavesLeft[stage]} leaves of tied stage {stage}";
        if (_leavesLeft[action.Stage] > 0)
            return $"it waits for {_leavesLeft[action.Stage]} leaves of its own stage";
        return action.Kind is ActionKind.Optimizer && _normsLeft > 0 ? $"it waits for the norms of {_normsLeft} stages" : null;
    }

    private void Advance(int rank)
    {
        while (IsUnfinished(rank) && Obstacle(rank) is null)
        {
            var action = _schedule.Actions[rank][_next[rank]++];
            Complete(action);
            _visit?.Invoke(rank, action);
        }
    }

    private void Complete(StageAction action)
    {
        switch (action.Kind)
        {
            case ActionKind.Forward:
                _forwardDone[_schedule.Cell(action.Stage, action.MicroBatch)] = true;
                Exchange(action.Stage, action.Stage - 1, action.Stage + 1, _unreadActivations);
                break;
            case ActionKind.Backward or ActionKind.InputGradient:
                _gradientDone[_schedule.Cell(action.Stage, action.MicroBatch)] = true;
                Exchange(action.Stage, action.Stage + 1, action.Stage - 1, _unreadGradients);
                break;
            case ActionKind.Norm when --_normsLeft == 0:
                WakeAll();
                break;
        }

        if (action.Kind.MakesLeaf() && --_leavesLeft[action.Stage] == 0 && _schedule.TiedStages.Contains(action.Stage))
            WakeAll();
    }

    // Reads the message from the stage before, in the direction of travel, and leaves one for the stage after.
    private void Exchange(int stage, int before, int after, int[] unread)
    {
        if (IsRemote(stage, before))
        {
            unread[stage]--;
            Wake(_schedule.RankOfStage[before]);
        }

        if (IsRemote(stage, after))
        {
            unread[after]++;
            Wake(_schedule.RankOfStage[after]);
        }
    }

    private bool IsRemote(int stage, int other) =>
        other >= 0 && other < _schedule.StageCount && _schedule.RankOfStage[other] != _schedule.RankOfStage[stage];

    private bool HasRoom(int stage, int receiver, int[] unread) => !IsRemote(stage, receiver) || unread[receiver] < _capacity;

    private string Missing(StageAction input) => $"it waits for {input} of rank {_schedule.RankOfStage[input.Stage]}";

    private string NoRoom(int receiver) =>
        $"its output has no room, since stage {receiver} on rank {_schedule.RankOfStage[receiver]} has not read the {_capacity} that its mailbox holds";

    private void WakeAll()
    {
        for (var rank = 0; rank < _schedule.RankCount; rank++)
            Wake(rank);
    }

    private void Wake(int rank)
    {
        if (_isQueued[rank])
            return;
        _isQueued[rank] = true;
        _runnable.Enqueue(rank);
    }
}
