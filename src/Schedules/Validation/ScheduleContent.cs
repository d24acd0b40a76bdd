namespace Pipeline.Schedules;

/// <summary>
/// The first half of validation, which looks at each rank's list alone: every action on its rank, each needed action
/// exactly once, each after what it needs of its own stage, leaves in order, the step's end at the end, activations
/// within bounds.
/// </summary>
internal sealed class ScheduleContent
{
    private const int Absent = -1;
    private const int MicroBatchKindCount = 5;

    private readonly Schedule _schedule;
    private readonly List<ScheduleProblem> _problems = [];

    // By kind and (stage, micro-batch): where the action stands in its rank's list.
    private readonly int[][] _positions;
    private readonly int[,] _stepEndPositions;

    private ScheduleContent(Schedule schedule)
    {
        _schedule = schedule;
        _positions = [.. Enumerable.Range(0, MicroBatchKindCount).Select(_ => NewTable(schedule.CellCount))];
        _stepEndPositions = new int[schedule.StageCount, ActionKinds.Count];
        for (var stage = 0; stage < schedule.StageCount; stage++)
            for (var kind = 0; kind < ActionKinds.Count; kind++)
                _stepEndPositions[stage, kind] = Absent;
    }

    public static List<ScheduleProblem> Check(Schedule schedule, ScheduleLimits limits)
    {
        var content = new ScheduleContent(schedule);
        for (var rank = 0; rank < schedule.RankCount; rank++)
            content.Record(rank);
        for (var stage = 0; stage < schedule.StageCount; stage++)
        {
            for (var microBatch = 0; microBatch < schedule.MicroBatchCount; microBatch++)
                content.CheckMicroBatch(stage, microBatch);
            content.CheckStepEnd(stage);
        }

        for (var rank = 0; rank < schedule.RankCount; rank++)
            content.CheckRow(rank, limits);
        return content._problems;
    }

    private void Record(int rank)
    {
        for (var position = 0; position < _schedule.Actions[rank].Length; position++)
        {
            var action = _schedule.Actions[rank][position];
            ref var place = ref action.Kind.IsStepLevel()
                ? ref _stepEndPositions[action.Stage, (int)action.Kind]
                : ref _positions[(int)action.Kind][_schedule.Cell(action.Stage, action.MicroBatch)];
            if (_schedule.RankOfStage[action.Stage] != rank)
                Report(rank, position, $"{action} belongs to rank {_schedule.RankOfStage[action.Stage]}, which holds stage {action.Stage}");
            else if (place != Absent)
                Report(rank, position, $"{action} runs a second time, it stands at action {place + 1} already");
            else
                place = position;
        }
    }

    private void CheckMicroBatch(int stage, int microBatch)
    {
        var forward = Position(ActionKind.Forward);
        var backward = Position(ActionKind.Backward);
        var inputGradient = Position(ActionKind.InputGradient);
        var weightGradient = Position(ActionKind.WeightGradient);
        var recompute = Position(ActionKind.Recompute);

        if (forward == Absent)
            ReportMissing(stage, new StageAction(stage, ActionKind.Forward, microBatch));
        if (_schedule.Mode is ScheduleMode.Evaluate)
        {
            foreach (var position in (int[])[backward, inputGradient, weightGradient, recompute])
                if (position != Absent)
                    ReportAt(stage, position, "an evaluation runs forwards only");
            return;
        }

        var gradient = backward != Absent ? backward : inputGradient;
        if (backward != Absent && (inputGradient != Absent || weightGradient != Absent))
            ReportAt(stage, Math.Max(inputGradient, weightGradient), "the backward of this micro-batch runs whole and in halves: expected B, or I and W");
        else if (gradient == Absent)
            ReportMissing(stage, new StageAction(stage, weightGradient == Absent ? ActionKind.Backward : ActionKind.InputGradient, microBatch));
        else if (backward == Absent && weightGradient == Absent)
            ReportMissing(stage, new StageAction(stage, ActionKind.WeightGradient, microBatch));

        RequireOrder(stage, forward, gradient);
        RequireOrder(stage, forward, recompute);
        RequireOrder(stage, recompute, gradient);
        RequireOrder(stage, inputGradient, weightGradient);

        int Position(ActionKind kind) => _positions[(int)kind][_schedule.Cell(stage, microBatch)];
    }

    private void CheckStepEnd(int stage)
    {
        var reduces = _schedule.Reduces;
        Check(ActionKind.ReduceScatter, reduces);
        Check(ActionKind.AllGather, reduces && !_schedule.SharesOptimizer);
        Check(ActionKind.WeightGather, _schedule.SharesOptimizer || _schedule.StepsLocally);
        Check(ActionKind.TiedSum, _schedule.EndsStep && _schedule.TiedStages.Contains(stage));
        Check(ActionKind.Norm, _schedule.EndsStep);
        Check(ActionKind.Optimizer, _schedule.EndsStep);

        void Check(ActionKind kind, bool isExpected)
        {
            var position = _stepEndPositions[stage, (int)kind];
            if (isExpected && position == Absent)
                ReportMissing(stage, StageAction.StepLevel(stage, kind));
            else if (!isExpected && position != Absent)
                ReportAt(stage, position, kind is ActionKind.TiedSum ? "the stage is not among the tied ones" : "the schedule does not declare that it ends its step");
        }
    }

    private void CheckRow(int rank, ScheduleLimits limits)
    {
        var row = _schedule.Actions[rank];
        var newestLeaf = _schedule.StagesOf(rank).ToDictionary(stage => stage, _ => Absent);
        var newestPhase = 0;
        var inFlightCount = 0;
        var overLimit = Absent;
        for (var position = 0; position < row.Length; position++)
        {
            var action = row[position];
            var phase = action.Kind.IsStepLevel() ? (int)action.Kind : 0;
            if (phase < newestPhase)
                Report(rank, position, $"{action} comes after a {((ActionKind)newestPhase).Term()}: expected all micro-batches, then S, G, T, N, O, A");
            newestPhase = Math.Max(newestPhase, phase);
            if (_schedule.RankOfStage[action.Stage] != rank)
                continue;
            if (action.Kind.MakesLeaf())
            {
                if (limits.LeavesInIndexOrder && action.MicroBatch < newestLeaf[action.Stage])
                    Report(rank, position, $"{action} makes its leaf after that of micro-batch {newestLeaf[action.Stage]}: expected index order on each stage");
                newestLeaf[action.Stage] = Math.Max(newestLeaf[action.Stage], action.MicroBatch);
            }

            inFlightCount += action.Kind is ActionKind.Forward ? 1 : action.Kind.MakesLeaf() ? -1 : 0;
            if (overLimit == Absent && inFlightCount > limits.InFlightPerRank[rank] && _schedule.Mode is ScheduleMode.Train)
                overLimit = position;
        }

        if (overLimit != Absent)
            Report(rank, overLimit, $"{row[overLimit]} is one forward too many without its backward: {_schedule.Name} holds at most {limits.InFlightPerRank[rank]} here");
    }

    // Both positions are on the stage's rank; an absent action has been reported elsewhere or is optional.
    private void RequireOrder(int stage, int earlier, int later)
    {
        if (earlier != Absent && later != Absent && later < earlier)
            ReportAt(stage, later, $"it runs before {_schedule.Actions[_schedule.RankOfStage[stage]][earlier]}, which it needs");
    }

    private void ReportMissing(int stage, StageAction action)
    {
        var rank = _schedule.RankOfStage[stage];
        Report(rank, _schedule.Actions[rank].Length, $"{action} is missing");
    }

    private void ReportAt(int stage, int position, string message)
    {
        var rank = _schedule.RankOfStage[stage];
        Report(rank, position, $"{_schedule.Actions[rank][position]}: {message}");
    }

    private void Report(int rank, int position, string message) => _problems.Add(new ScheduleProblem(rank, position, message));

    private static int[] NewTable(int length)
    {
        var table = new int[length];
        Array.Fill(table, Absent);
        return table;
    }
}
