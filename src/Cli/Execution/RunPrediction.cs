using System.Collections.Immutable;
using System.Globalization;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
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

    // As the planner counts them.
    private const int SteadyCount = 2;

    private readonly RunLayout _layout;
    private readonly ImmutableArray<UnitRange> _partition;
    private readonly ImmutableArray<UnitProfile> _units;
    private readonly ModelProfile _profile;
    private readonly UnitRecompute _recompute;
    private readonly Func<ImmutableArray<long>, IReductionModel>? _reductions;
    private readonly Lazy<double> _ahead;

    /// <param name="layout">How the run was spread.</param>
    /// <param name="profile">Costs of its units, measured or estimated.</param>
    /// <param name="microBatchSize">Samples of a micro-batch.</param>
    /// <param name="recompute">What the schedule's R makes again; null for nothing.</param>
    /// <param name="reductions">How replicas add gradients of given sizes up; null with one replica.</param>
    /// <param name="mayRunAhead">Whether the settings let steps go on without their norm.</param>
    public RunPrediction(
        RunLayout layout, ModelProfile profile, int microBatchSize, UnitRecompute? recompute = null, Func<ImmutableArray<long>, IReductionModel>? reductions = null,
        bool mayRunAhead = false)
    {
        // Whole backwards leave nothing to do while the norm travels, and between replicas every step waits: the planner reckons alike.
        MayRunAhead = mayRunAhead && layout.Schedule.UsesSplitBackward && layout.Schedule.RankCount > 1 && layout.ReplicaCount == 1;
        _reductions = reductions;
        _recompute = recompute ?? UnitRecompute.None;
        _layout = layout;
        _profile = profile;
        _units = profile.For(microBatchSize);
        _partition = Partitioner.FromCounts(_units.Length, layout.UnitCounts);
        Step = Simulate(_units, _partition);
        _ahead = new Lazy<double>(() => Ahead(Model(_units, _partition)));
    }

    /// <summary>That of a run with its settings, on this machine.</summary>
    public static RunPrediction Of(RunSettings settings, RunLayout layout, ModelProfile profile, UnitRecompute recompute) => new(
        layout, profile, settings.Step.MicroBatchSize, recompute, settings.Reduction.Outer is null ? PlannedReductions.Here(settings) : null, !PlanRequests.WaitsForNorm(settings));

    /// <summary>How the run is spread.</summary>
    public RunLayout Layout => _layout;

    /// <summary>Whether steps may go on without their norm, so that a step is predicted to take <see cref="Duration"/> rather than that of <see cref="Step"/>.</summary>
    public bool MayRunAhead { get; }

    /// <summary>How long a step takes: where steps may go on without their norm, what one adds to those before it.</summary>
    public double Duration => MayRunAhead ? _ahead.Value : Step.Duration;

    /// <summary>Idle share of the ranks' time in a step of <see cref="Duration"/>.</summary>
    public double BubbleShare => MayRunAhead && Duration > 0 ? 1 - (Step.Ranks.Sum(rank => rank.Busy) / (Step.Ranks.Length * Duration)) : Step.BubbleShare;

    /// <summary>The step as predicted where it waits for its norm; in seconds where the costs are measured, otherwise only its proportions mean something.</summary>
    public SimulatedStep Step { get; }

    /// <summary>Whether the costs are measured.</summary>
    public bool IsInSeconds => _profile.IsMeasured;

    /// <summary>
    /// The step simulated with the mean durations of the actions that were traced: what the model of the simulator, not the costs,
    /// makes of the run. Null where nothing was traced, or replicas have stages of their own.
    /// </summary>
    public SimulatedStep? Replay(TracedSteps traced) => _layout.Mesh.IsEven && Measured(traced) is { } model ? Simulator.Run(_layout.Schedule, model) : null;

    /// <summary>How each rank of the first replica spent its own time of the traced steps, in seconds.</summary>
    public ImmutableArray<RankShare> Shares(TracedSteps traced)
    {
        var shares = Enumerable.Range(0, _layout.Schedule.RankCount).Select(rank => new RankShare(rank, 0, 0, 0)).ToArray();
        IReadOnlyList<double>? freeAt = null;
        foreach (var step in traced.Steps)
        {
            // Of several replicas the first is looked at: all run the same schedule.
            var spans = traced.Spans(step).Where(span => span.Rank < shares.Length).ToLookup(span => span.Rank);
            if (spans.Count == 0) continue;
            // Before its first action a rank was at the former step: what it waited for then is only known where that was traced, too.
            var first = freeAt ?? [.. shares.Select(share => spans[share.Rank].Select(span => span.Start).DefaultIfEmpty(0).Min())];
            var usage = Timeline.FromSpans(_layout.Schedule, spans.SelectMany(row => row), freeAt: first).Usage;
            shares = [.. shares.Select(share => traced.Timing(step, share.Rank) is { } timing ? share.With(timing, usage[share.Rank].Wait) : share)];
            freeAt = traced.Steps.Contains(step + 1) ? [.. shares.Select(share => spans[share.Rank].Select(span => span.End).DefaultIfEmpty(0).Max())] : null;
        }

        return [.. shares];
    }

    /// <summary>What is said at the end of a run.</summary>
    /// <param name="times">How long its steps took.</param>
    /// <param name="traced">Its traced steps.</param>
    /// <param name="waits">How many of the steps that count waited for their norm; null where that is not known, so that it is as the settings want it.</param>
    /// <param name="sharesClock">Whether all ranks ran on one machine: only then can their time lines be laid beside each other.</param>
    public IEnumerable<string> Lines(StepTimes times, TracedSteps traced, int? waits = null, bool sharesClock = true)
    {
        if (times.Median is not { } measured)
        {
            if (times.IsAny) yield return "prediction not held against the run: it has no more steps than those in which caches warm up";
            yield break;
        }

        if (!_layout.Mesh.IsEven)
        {
            yield return "prediction none: it knows replicas that all have the same stages, and these have stages of their own";
            yield break;
        }

        var isAhead = MayRunAhead && (waits ?? 0) * 2 <= times.Count;
        foreach (var line in IsInSeconds ? Errors(times.Count, measured, isAhead, waits) : [Text($"prediction costs are {_profile.Source}, so that only proportions are predicted; `pipeline profile` measures them")])
            yield return line;
        if (Measured(traced) is not { } model) yield break;
        var replayed = isAhead ? Ahead(model) : Simulator.Run(_layout.Schedule, model).Duration;
        yield return Text($"           {Milliseconds(replayed)} a step, simulated with the durations of the {traced.Steps.Count} traced steps: {Error(replayed, measured)}");
        foreach (var line in sharesClock ? Ranks(traced, isAhead) : ["           ranks lay on several machines, whose clocks are not one: no shares of their time"]) yield return line;
        foreach (var line in Rebalance(traced)) yield return line;
    }

    // The error is that of the figure which applies: a step that goes on without its norm is not one with a barrier.
    private IEnumerable<string> Errors(int count, double measured, bool isAhead, int? waits)
    {
        var (applies, other) = isAhead ? (Duration, Step.Duration) : (Step.Duration, Duration);
        var how = !MayRunAhead ? "" : waits is { } known ? Text($", {count - known} of them without waiting for their norm") : ", none waiting for its norm";
        yield return Text($"prediction {Milliseconds(applies)} a step, measured {Milliseconds(measured)} (median of {count} steps{how}): {Error(applies, measured)}");
        if (MayRunAhead) yield return Text($"           {Milliseconds(other)} for steps that {(isAhead ? "wait" : "do not wait")} for their norm");
    }

    private IEnumerable<string> Ranks(TracedSteps traced, bool isAhead)
    {
        var predicted = isAhead ? Duration : Step.Duration;
        yield return "rank       busy    wait  bubble   predicted busy  bubble   (share of the step)";
        foreach (var share in Shares(traced).Where(share => share.Seconds > 0))
        {
            var busy = Step.Ranks[share.Rank].Busy / predicted;
            yield return Text(
                $"{share.Rank,4}    {share.Busy / share.Seconds * 100,5:0.0} % {share.Wait / share.Seconds * 100,5:0.0} % {share.Bubble / share.Seconds * 100,5:0.0} %          {busy * 100,5:0.0} % {(1 - busy) * 100,5:0.0} %");
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

        var better = Partitioner.Partition([.. adjusted.Select((unit, index) => unit.WorkUnder(_layout.Schedule.UsesSplitBackward, _recompute[index]))], _partition.Length);
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

    private SimulationModel? Measured(TracedSteps traced) => MeasuredCosts.Of(traced, _layout.Schedule) is { } costs ? new SimulationModel { Costs = costs } : null;

    private double Ahead(SimulationModel model) => SteadySteps.Added(_layout.Schedule, _ => model with { WaitsForNorm = false }, SteadyCount);

    private static string Error(double predicted, double measured) => Text($"error {Math.Abs(predicted - measured) / measured * 100:0.0} %");

    private static string Milliseconds(double seconds) => Text($"{seconds * 1e3:0.0} ms");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
