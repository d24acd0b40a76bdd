using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// Finds the order of a split-backward schedule by running it: whenever a rank is free, a policy chooses among the actions
/// whose inputs are there, in a time in which every stage has the same costs and messages take none. On each stage forwards,
/// input-gradient halves and weight-gradient halves each run in micro-batch order. Deterministic: all that ends at one
/// moment ends before anything starts, and ranks choose in their order.
/// </summary>
internal sealed class OrderBuilder
{
    private readonly ScheduleShape _shape;
    private readonly ImmutableArray<int> _rankOfStage;
    private readonly IOrderPolicy _policy;
    private readonly OrderCosts _costs;
    private readonly int[] _forwardsBegun;
    private readonly int[] _forwardsDone;
    private readonly int[] _gradientsBegun;
    private readonly int[] _gradientsDone;
    private readonly int[] _held;
    private readonly Queue<StageAction>[] _pendingWeights;
    private readonly ImmutableArray<StageAction>.Builder[] _rows;
    private readonly PriorityQueue<int, (double Time, int Rank)> _ends = new();
    private readonly bool[] _isBusy;

    private OrderBuilder(ScheduleShape shape, ImmutableArray<int> rankOfStage, OrderCosts costs, IOrderPolicy policy)
    {
        _shape = shape;
        _rankOfStage = rankOfStage;
        _policy = policy;
        _costs = costs;
        _forwardsBegun = new int[shape.StageCount];
        _forwardsDone = new int[shape.StageCount];
        _gradientsBegun = new int[shape.StageCount];
        _gradientsDone = new int[shape.StageCount];
        _held = new int[shape.RankCount];
        _isBusy = new bool[shape.RankCount];
        _pendingWeights = [.. Enumerable.Range(0, shape.RankCount).Select(_ => new Queue<StageAction>())];
        var rowLength = checked(3 * shape.VirtualStagesPerRank * shape.MicroBatchCount);
        _rows = [.. Enumerable.Range(0, shape.RankCount).Select(_ => ImmutableArray.CreateBuilder<StageAction>(rowLength))];
    }

    /// <summary>The rows of all ranks.</summary>
    /// <exception cref="ScheduleException">The policy leaves all ranks idle before the end: its memory does not suffice.</exception>
    public static ImmutableArray<ImmutableArray<StageAction>> Run(
        ScheduleShape shape, ImmutableArray<int> rankOfStage, OrderCosts costs, IOrderPolicy policy)
    {
        var builder = new OrderBuilder(shape, rankOfStage, costs, policy);
        builder.Run();
        return builder._rows.All(row => row.Count == row.Capacity)
            ? [.. builder._rows.Select(row => row.MoveToImmutable())]
            : throw new ScheduleException($"With a memory credit of {shape.MemoryCredit} the ranks wait for one another: raise pipeline.schedule.memory-credit.");
    }

    /// <summary>The (stage, micro-batch) pairs that the rank holds: begun forwards whose weight-gradient half has not begun.</summary>
    public int Held(int rank) => _held[rank];

    /// <summary>True where the rank has input-gradient halves whose weight-gradient half is still to run.</summary>
    public bool HasPendingWeight(int rank) => _pendingWeights[rank].Count > 0;

    /// <summary>The weight-gradient half that has waited longest.</summary>
    public StageAction OldestWeight(int rank) => _pendingWeights[rank].Peek();

    /// <summary>The next forward of a stage, where its input is there.</summary>
    public bool IsForwardReady(int stage, out StageAction action)
    {
        action = ScheduleRows.Forward(stage, _forwardsBegun[stage]);
        return action.MicroBatch < (stage == 0 ? _shape.MicroBatchCount : _forwardsDone[stage - 1]);
    }

    /// <summary>The next input-gradient half of a stage, where its input is there.</summary>
    public bool IsGradientReady(int stage, out StageAction action)
    {
        action = ScheduleRows.InputGradient(stage, _gradientsBegun[stage]);
        var limit = stage == _shape.StageCount - 1 ? _forwardsDone[stage] : _gradientsDone[stage + 1];
        return action.MicroBatch < limit;
    }

    private void Run()
    {
        var free = new SortedSet<int>(Enumerable.Range(0, _shape.RankCount));
        var now = 0.0;
        while (true)
        {
            foreach (var rank in free)
                if (!_isBusy[rank] && _policy.Choose(this, rank) is { } action)
                    Begin(rank, action, now);
            free.Clear();
            if (!_ends.TryPeek(out _, out var next))
                return;
            now = next.Time;
            while (_ends.TryPeek(out var rank, out next) && next.Time <= now)
            {
                _ends.Dequeue();
                End(rank, free);
            }
        }
    }

    private void Begin(int rank, StageAction action, double now)
    {
        switch (action.Kind)
        {
            case ActionKind.Forward:
                _forwardsBegun[action.Stage]++;
                _held[rank]++;
                break;
            case ActionKind.InputGradient:
                _gradientsBegun[action.Stage]++;
                _pendingWeights[rank].Enqueue(ScheduleRows.WeightGradient(action.Stage, action.MicroBatch));
                break;
            default:
                _pendingWeights[rank].Dequeue();
                _held[rank]--;
                break;
        }

        _isBusy[rank] = true;
        _rows[rank].Add(action);
        _ends.Enqueue(rank, (now + _costs.Of(action.Kind), rank));
    }

    private void End(int rank, SortedSet<int> free)
    {
        var action = _rows[rank][^1];
        _isBusy[rank] = false;
        free.Add(rank);
        if (action.Kind is ActionKind.Forward)
        {
            _forwardsDone[action.Stage]++;
            free.Add(_rankOfStage[Math.Min(action.Stage + 1, _shape.StageCount - 1)]);
        }
        else if (action.Kind is ActionKind.InputGradient)
        {
            _gradientsDone[action.Stage]++;
            free.Add(_rankOfStage[Math.Max(action.Stage - 1, 0)]);
        }
    }
}

/// <summary>Chooses what a free rank does next.</summary>
internal interface IOrderPolicy
{
    /// <summary>An action whose inputs are there, or null to stay idle until something ends.</summary>
    StageAction? Choose(OrderBuilder state, int rank);
}
