namespace Pipeline.Schedules;

/// <summary>
/// When the inputs of actions were made and when they arrived: the part of a simulation that knows the dependences. A time that
/// is not known yet is positive infinity.
/// </summary>
internal sealed class SimulatedInputs
{
    private readonly Schedule _schedule;
    private readonly SimulationModel _model;
    private readonly double[] _forwardMade;
    private readonly double[] _gradientMade;
    private readonly double[] _forwardArrived;
    private readonly double[] _gradientArrived;
    private readonly int[] _leavesLeft;
    private readonly double[] _leavesMade;
    private readonly double[] _reduced;
    private readonly double[] _reductionLaneFree;
    private readonly bool[] _isTied;
    private readonly double _barrierLatency;
    private int _normsLeft;
    private double _normsMade = double.NegativeInfinity;

    public SimulatedInputs(Schedule schedule, SimulationModel model)
    {
        _schedule = schedule;
        _model = model;
        _forwardMade = Unknown(schedule.CellCount);
        _gradientMade = Unknown(schedule.CellCount);
        _forwardArrived = Unknown(schedule.CellCount);
        _gradientArrived = Unknown(schedule.CellCount);
        _leavesLeft = new int[schedule.StageCount];
        Array.Fill(_leavesLeft, schedule.MicroBatchCount);
        _leavesMade = Unknown(schedule.StageCount);
        _reduced = Unknown(schedule.StageCount);
        _reductionLaneFree = new double[schedule.RankCount];
        _isTied = new bool[schedule.StageCount];
        foreach (var stage in schedule.TiedStages)
            _isTied[stage] = true;
        _normsLeft = schedule.StageCount;
        _barrierLatency = BarrierLatency();
    }

    /// <summary>Where each stage's reduction ended; infinity where there was none.</summary>
    public IReadOnlyList<double> ReductionEnds => _reduced;

    /// <summary>When each stage's last leaf was made.</summary>
    public IReadOnlyList<double> LeavesMade => _leavesMade;

    /// <summary>When the action could start if its rank were free.</summary>
    public double ReadyAt(StageAction action, int rank) => action.Kind switch
    {
        ActionKind.Forward => action.Stage == 0 ? 0 : ForwardInput(action),
        ActionKind.Backward or ActionKind.InputGradient => Math.Max(_forwardMade[Cell(action)], GradientInput(action)),
        ActionKind.WeightGradient => _gradientMade[Cell(action)],
        ActionKind.Recompute => _forwardMade[Cell(action)],
        ActionKind.TiedSum => Math.Max(OwnGradients(action.Stage), TiedGradients(rank)),
        // The reduction over replicas is simulated beside the actions; see Reduce.
        ActionKind.ReduceScatter or ActionKind.AllGather or ActionKind.Norm => OwnGradients(action.Stage),
        _ when !_model.WaitsForNorm => 0,
        _ => _normsLeft > 0 ? double.PositiveInfinity : _normsMade + (_schedule.RankCount > 1 ? _barrierLatency : 0),
    };

    /// <summary>When the last input from another rank was made, wherever it is by now; negative infinity without one.</summary>
    public double MadeAt(StageAction action)
    {
        switch (action.Kind)
        {
            case ActionKind.Forward when action.Stage > 0 && IsRemote(action.Stage, action.Stage - 1):
                return _forwardMade[Cell(action) - _schedule.MicroBatchCount];
            case ActionKind.Backward or ActionKind.InputGradient when action.Stage < _schedule.StageCount - 1 && IsRemote(action.Stage, action.Stage + 1):
                return _gradientMade[Cell(action) + _schedule.MicroBatchCount];
            case ActionKind.TiedSum:
                return TiedMade(_schedule.RankOfStage[action.Stage]);
            case ActionKind.Optimizer when _schedule.RankCount > 1 && _model.WaitsForNorm:
                return _normsMade;
            default:
                return double.NegativeInfinity;
        }
    }

    /// <summary>Notes that an action ended; true where others than neighbours may wait for it.</summary>
    public bool Ended(StageAction action, int rank, double now)
    {
        if (action.Kind is ActionKind.Forward)
            _forwardMade[Cell(action)] = now;
        if (action.Kind.MakesInputGradient())
            _gradientMade[Cell(action)] = now;
        if (action.Kind.MakesLeaf() && --_leavesLeft[action.Stage] == 0)
        {
            _leavesMade[action.Stage] = now;
            Reduce(action.Stage, rank, now);
            return _isTied[action.Stage];
        }

        if (action.Kind is not ActionKind.Norm)
            return false;
        _normsMade = Math.Max(_normsMade, now);
        return --_normsLeft == 0;
    }

    /// <summary>Notes when the message that an action made arrives.</summary>
    public void Arrives(StageAction maker, double at)
    {
        if (maker.Kind is ActionKind.Forward)
            _forwardArrived[Cell(maker) + _schedule.MicroBatchCount] = at;
        else
            _gradientArrived[Cell(maker) - _schedule.MicroBatchCount] = at;
    }

    /// <summary>The rank to which an action's output has to travel; null where it has none or stays.</summary>
    public int? ReceiverOf(StageAction action)
    {
        var receiver = action.Kind is ActionKind.Forward ? action.Stage + 1 : action.Kind.MakesInputGradient() ? action.Stage - 1 : -1;
        return receiver >= 0 && receiver < _schedule.StageCount && IsRemote(action.Stage, receiver) ? _schedule.RankOfStage[receiver] : null;
    }

    /// <summary>The number of the message that an action sends.</summary>
    public int MessageOf(StageAction action) => (2 * Cell(action)) + (action.Kind is ActionKind.Forward ? 0 : 1);

    /// <summary>The message of that number: which action's, from which rank, to which.</summary>
    public (StageAction Action, int From, int To) Message(int number)
    {
        var (cell, direction) = (number >> 1, number & 1);
        var (stage, microBatch) = Math.DivRem(cell, _schedule.MicroBatchCount);
        var action = new StageAction(stage, direction == 0 ? ActionKind.Forward : ActionKind.InputGradient, microBatch);
        return (action, _schedule.RankOfStage[stage], _schedule.RankOfStage[direction == 0 ? stage + 1 : stage - 1]);
    }

    /// <summary>The size of an action's message: its stage's output, or the gradient of the former stage's.</summary>
    public long BytesOf(StageAction action) => _model.Links!.OutputBytes[action.Kind is ActionKind.Forward ? action.Stage : action.Stage - 1];

    /// <summary>How long the sending rank serialises an action's message.</summary>
    public double SendCost(StageAction action) => _model.Links is { } links ? BytesOf(action) * links.SerializationPerByte : 0;

    /// <summary>How long the receiving rank is kept busy to take an action's input.</summary>
    public double ReceiveCost(StageAction action)
    {
        if (_model.Links is not { SerializesAside: false, SerializationPerByte: > 0 } links || double.IsNegativeInfinity(MadeAt(action)) || action.Kind.IsStepLevel())
            return 0;
        return links.OutputBytes[action.Kind is ActionKind.Forward ? action.Stage - 1 : action.Stage] * links.SerializationPerByte;
    }

    private double ForwardInput(StageAction action) => IsRemote(action.Stage, action.Stage - 1)
        ? _forwardArrived[Cell(action)]
        : _forwardMade[Cell(action) - _schedule.MicroBatchCount];

    private double GradientInput(StageAction action)
    {
        if (action.Stage == _schedule.StageCount - 1)
            return 0;
        return IsRemote(action.Stage, action.Stage + 1) ? _gradientArrived[Cell(action)] : _gradientMade[Cell(action) + _schedule.MicroBatchCount];
    }

    private double OwnGradients(int stage) => _model.Reductions is null ? _leavesMade[stage] : _reduced[stage];

    private double TiedGradients(int rank)
    {
        var latest = double.NegativeInfinity;
        foreach (var stage in _schedule.TiedStages)
        {
            var hop = _schedule.RankOfStage[stage] == rank ? 0 : _model.Costs.HopLatency + LatencyBetween(_schedule.RankOfStage[stage], rank);
            latest = Math.Max(latest, OwnGradients(stage) + hop);
        }

        return latest;
    }

    private double TiedMade(int rank)
    {
        var latest = double.NegativeInfinity;
        foreach (var stage in _schedule.TiedStages)
            if (_schedule.RankOfStage[stage] != rank)
                latest = Math.Max(latest, _leavesMade[stage]);
        return latest;
    }

    private void Reduce(int stage, int rank, double now)
    {
        if (_model.Reductions is not { } reductions)
            return;
        var end = Math.Max(now, _reductionLaneFree[rank]) + reductions.Cost(stage, rank);
        _reductionLaneFree[rank] = _reduced[stage] = end;
    }

    // The squares go to the rank of stage 0 and the total comes back.
    private double BarrierLatency()
    {
        var first = _schedule.RankOfStage[0];
        var furthest = 0.0;
        for (var rank = 0; rank < _schedule.RankCount; rank++)
            if (rank != first)
                furthest = Math.Max(furthest, LatencyBetween(rank, first) + LatencyBetween(first, rank));
        return _model.Costs.HopLatency + furthest;
    }

    private double LatencyBetween(int from, int to) => _model.Links?.Between(from, to).Latency ?? 0;

    private int Cell(StageAction action) => _schedule.Cell(action.Stage, action.MicroBatch);

    private bool IsRemote(int stage, int other) => _schedule.RankOfStage[other] != _schedule.RankOfStage[stage];

    private static double[] Unknown(int length)
    {
        var table = new double[length];
        Array.Fill(table, double.PositiveInfinity);
        return table;
    }
}
