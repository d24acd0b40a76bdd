namespace Pipeline.Schedules;

/// <summary>
/// Remembers when actions ended, to tell when the inputs of an action were made on other ranks. Inputs from the same rank
/// need no memory: they were made before, on the same thread.
/// </summary>
internal sealed class InputTimes
{
    private readonly Schedule _schedule;
    private readonly double[] _forwardEnds;
    private readonly double[] _gradientEnds;
    private readonly double[] _leafEnds;
    private double _normEnd = double.NegativeInfinity;

    public InputTimes(Schedule schedule)
    {
        _schedule = schedule;
        _forwardEnds = NewTable(schedule.CellCount);
        _gradientEnds = NewTable(schedule.CellCount);
        _leafEnds = NewTable(schedule.StageCount);
    }

    /// <summary>Notes that an action ended.</summary>
    public void Ended(StageAction action, double end)
    {
        if (action.Kind is ActionKind.Forward)
            _forwardEnds[_schedule.Cell(action.Stage, action.MicroBatch)] = end;
        if (action.Kind.MakesInputGradient())
            _gradientEnds[_schedule.Cell(action.Stage, action.MicroBatch)] = end;
        if (action.Kind.MakesLeaf())
            _leafEnds[action.Stage] = Math.Max(_leafEnds[action.Stage], end);
        if (action.Kind is ActionKind.Norm)
            _normEnd = Math.Max(_normEnd, end);
    }

    /// <summary>When the last input from another rank was made; negative infinity where there is none.</summary>
    public double RemoteInputOf(StageAction action) => action.Kind switch
    {
        ActionKind.Forward => From(action.Stage, action.Stage - 1, action.MicroBatch, _forwardEnds),
        ActionKind.Backward or ActionKind.InputGradient => From(action.Stage, action.Stage + 1, action.MicroBatch, _gradientEnds),
        ActionKind.TiedSum => TiedInput(action.Stage),
        ActionKind.Optimizer when _schedule.RankCount > 1 => _normEnd,
        _ => double.NegativeInfinity,
    };

    private double From(int stage, int other, int microBatch, double[] ends) =>
        other >= 0 && other < _schedule.StageCount && _schedule.RankOfStage[other] != _schedule.RankOfStage[stage]
            ? ends[_schedule.Cell(other, microBatch)]
            : double.NegativeInfinity;

    private double TiedInput(int stage)
    {
        var latest = double.NegativeInfinity;
        foreach (var other in _schedule.TiedStages)
            if (_schedule.RankOfStage[other] != _schedule.RankOfStage[stage])
                latest = Math.Max(latest, _leafEnds[other]);
        return latest;
    }

    private static double[] NewTable(int length)
    {
        var table = new double[length];
        Array.Fill(table, double.NegativeInfinity);
        return table;
    }
}
