using System.Collections.Immutable;
using System.Globalization;
using Pipeline.Coordinator;
using Pipeline.Schedules;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>
/// Holds a run against what was predicted of it: the step's duration and idle time, each rank's share, and whether other stages
/// would have been faster. Pure but for the profile that it is given.
/// </summary>
internal sealed class RunPrediction
{
    private const double WorthwhileGain = 0.02;

    private readonly RunLayout _layout;
    private readonly ImmutableArray<UnitRange> _partition;
    private readonly ImmutableArray<UnitProfile> _units;
    private readonly ModelProfile _profile;
    private readonly RecomputePolicy _recompute;
    private readonly Func<ImmutableArray<long>, IReductionModel>? _reductions;

    /// <param name="layout">How the run was spread.</param>
    /// <param name="profile">Costs of its units, measured or estimated.</param>
    /// <param name="microBatchSize">Samples of a micro-batch.</param>
    /// <param name="recompute">What the schedule's R makes again.</param>
    /// <param name="reductions">How replicas add gradients of given sizes up; null with one replica.</param>
    public RunPrediction(
        RunLayout layout, ModelProfile profile, int microBatchSize, RecomputePolicy recompute = RecomputePolicy.None, Func<ImmutableArray<long>, IReductionModel>? reductions = null)
    {
        _reductions = reductions;
        _recompute = recompute;
        _layout = layout;
        _profile = profile;
        _units = profile.For(microBatchSize);
        _partition = Partitioner.FromCounts(_units.Length, layout.UnitCounts);
        Step = Simulate(_units, _partition);
    }

    /// <summary>The step as predicted; in seconds where the costs are measured, otherwise only its proportions mean something.</summary>
    public SimulatedStep Step { get; }

    /// <summary>Whether the costs are measured.</summary>
    public bool IsInSeconds => _profile.IsMeasured;

    /// <summary>
    /// The step simulated with the mean durations of the actions that were traced: what the model of the simulator, not the costs,
    /// makes of the run. Null where nothing was traced, or replicas have stages of their own.
    /// </summary>
    public SimulatedStep? Replay(TracedSteps traced) => _layout.Mesh.IsEven && MeasuredCosts.Of(traced, _layout.Schedule) is { } costs ? Simulator.Run(_layout.Schedule, new SimulationModel { Costs = costs }) : null;

    /// <summary>What is said at the end of a run.</summary>
    public IEnumerable<string> Lines(StepTimes times, TracedSteps traced)
    {
        if (times.Median is not { } measured) yield break;
        if (!_layout.Mesh.IsEven)
        {
            yield return "prediction none: it knows replicas that all have the same stages, and these have stages of their own";
            yield break;
        }

        if (IsInSeconds)
        {
            yield return Text($"prediction {Milliseconds(Step.Duration)} a step, measured {Milliseconds(measured)} (median of {times.Count} steps): {Error(Step.Duration, measured)}");
            // Between replicas every step waits.
            if (_layout.Schedule.UsesSplitBackward && _layout.Schedule.RankCount > 1 && _reductions is null)
                yield return Text($"           {Milliseconds(SteadySteps.Added(_layout.Schedule, _ => Model(_units, _partition) with { WaitsForNorm = false }, 2))} for steps that do not wait for their norm");
        }
        else
        {
            yield return Text($"prediction costs are {_profile.Source}, so that only proportions are predicted; `pipeline profile` measures them");
        }

        var timelines = traced.Steps.Select(step => Measured(traced, step)).ToArray();
        if (timelines.Length == 0) yield break;
        if (Replay(traced) is { } replay)
            yield return Text($"           {Milliseconds(replay.Duration)} a step, simulated with the durations of the {timelines.Length} traced steps: {Error(replay.Duration, measured)}");
        foreach (var line in Ranks(timelines)) yield return line;
        foreach (var line in Rebalance(traced)) yield return line;
    }

    private IEnumerable<string> Ranks(Timeline[] timelines)
    {
        yield return "rank       busy    wait  bubble   predicted busy  bubble   (share of the step)";
        for (var rank = 0; rank < _layout.Schedule.RankCount; rank++)
        {
            var duration = timelines.Sum(timeline => timeline.Duration);
            var usage = timelines.Select(timeline => timeline.Usage[rank]).ToArray();
            yield return Text(
                $"{rank,4}    {usage.Sum(part => part.Busy) / duration * 100,5:0.0} % {usage.Sum(part => part.Wait) / duration * 100,5:0.0} % {usage.Sum(part => part.Bubble) / duration * 100,5:0.0} %          {Step.Ranks[rank].Busy / Step.Duration * 100,5:0.0} % {(Step.Ranks[rank].Wait + Step.Ranks[rank].Bubble) / Step.Duration * 100,5:0.0} %");
        }
    }

    // Every unit costs what its stage was measured to cost, in its profile's proportion; other stages are then a better cut of these costs.
    private IEnumerable<string> Rebalance(TracedSteps traced)
    {
        if (MeasuredCosts.Of(traced, _layout.Schedule) is not { } measured || _layout.Schedule.RankCount == 1) yield break;
        var expected = StageProfile.Of(_units, _partition, recompute: _recompute).Costs;
        var adjusted = _units.ToArray();
        for (var stage = 0; stage < _partition.Length; stage++)
        {
            for (var unit = _partition[stage].Start; unit < _partition[stage].End; unit++)
                adjusted[unit] = Adjusted(adjusted[unit], kind => Ratio(measured, expected, stage, kind));
        }

        var better = Partitioner.Partition([.. adjusted.Select(unit => unit.WorkUnder(_layout.Schedule.UsesSplitBackward, _recompute))], _partition.Length);
        var (now, then) = (Simulate([.. adjusted], _partition).Duration, Simulate([.. adjusted], better).Duration);
        var counts = string.Join(',', better.Select(range => range.Count));
        yield return then < now * (1 - WorthwhileGain)
            ? Text($"rebalance  stages of {counts} units instead of {string.Join(',', _layout.UnitCounts)} would take {1 - then / now:P1} less: --set schedule.partition={counts}")
            : Text($"rebalance  none: no other stages would be more than {WorthwhileGain:P0} faster");
    }

    private static UnitProfile Adjusted(UnitProfile unit, Func<ActionKind, double> ratio) => unit with
    {
        Forward = unit.Forward * ratio(ActionKind.Forward),
        Backward = unit.Backward * ratio(ActionKind.Backward),
        InputGradient = unit.InputGradient * ratio(ActionKind.InputGradient),
        WeightGradient = unit.WeightGradient * ratio(ActionKind.WeightGradient),
        SelectiveRecompute = unit.SelectiveRecompute * ratio(ActionKind.Recompute),
        Optimizer = unit.Optimizer * ratio(ActionKind.Optimizer),
    };

    // A kind that did not run is taken to be off as the forward is.
    private static double Ratio(ActionCosts measured, ActionCosts expected, int stage, ActionKind kind)
    {
        var (found, wanted) = (measured.Of(new StageAction(stage, kind, 0)), expected.Of(new StageAction(stage, kind, 0)));
        return found > 0 && wanted > 0 ? found / wanted
            : kind is ActionKind.Forward ? 1 : Ratio(measured, expected, stage, ActionKind.Forward);
    }

    private SimulatedStep Simulate(ImmutableArray<UnitProfile> units, ImmutableArray<UnitRange> partition) => Simulator.Run(_layout.Schedule, Model(units, partition));

    private SimulationModel Model(ImmutableArray<UnitProfile> units, ImmutableArray<UnitRange> partition)
    {
        var stages = StageProfile.Of(units, partition, _profile.ActionOverhead, _profile.HopLatency, _recompute);
        return new SimulationModel { Costs = stages.Costs, Memory = stages.Memory, Reductions = _reductions?.Invoke(stages.GradientBytes) };
    }

    // Of several replicas the first is looked at: all run the same schedule.
    private Timeline Measured(TracedSteps traced, long step) =>
        Timeline.FromSpans(_layout.Schedule, traced.Spans(step).Where(span => span.Rank < _layout.Schedule.RankCount));

    private static string Error(double predicted, double measured) => Text($"error {Math.Abs(predicted - measured) / measured * 100:0.0} %");

    private static string Milliseconds(double seconds) => Text($"{seconds * 1e3:0.0} ms");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
