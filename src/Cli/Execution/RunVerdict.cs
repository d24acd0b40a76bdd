using System.Globalization;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Coordinator;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Stages;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>Watches a run for what its prediction is held against, however it ends: how long steps took, which waited for their norm, what was traced.</summary>
/// <param name="predict">The prediction; called when it is wanted, which is at the end.</param>
/// <param name="choose">Which steps wait, anew for each generation of the ranks.</param>
/// <param name="optimizer">What is clipped.</param>
internal sealed class RunVerdict(Func<RunPrediction> predict, Func<BarrierChoice> choose, OptimizerSettings optimizer) : IRunObserver
{
    private readonly Lazy<RunPrediction> _prediction = new(predict);
    private readonly StepTimes _times = new();
    private readonly List<bool> _waited = [];
    private int _stepCount;
    private int _clippedCount;
    private int _redoneCount;
    private BarrierChoice _choice = choose();
    private OptimizerSettings _optimizer = optimizer;
    private bool _sharesClock = true;
    private string? _changed;

    /// <summary>That of a run with its settings.</summary>
    public static RunVerdict Of(RunSettings settings, RunLayout layout, Func<RunPrediction> predict)
    {
        var barrier = PlanRequests.WaitsForNorm(settings) ? OptimizerBarrier.On : settings.Step.Barrier;
        return new RunVerdict(predict, () => new BarrierChoice(barrier, layout.Schedule), settings.Optimizer);
    }

    /// <summary>The steps whose actions were recorded.</summary>
    public TracedSteps Traced { get; } = new();

    /// <summary>What was predicted of the run; null where it went on in another layout.</summary>
    public RunPrediction? Prediction => _changed is null ? _prediction.Value : null;

    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        Traced.OnNotice(notice);
        _times.OnNotice(notice);
        switch (notice)
        {
            case RunNotice.StepCommitted { Step: var step }:
                _waited.Add(_choice.WaitsForNorm);
                Count(step);
                _choice.Settled(step.Fault is not null || _optimizer.Clips(step.GradientNorm));
                break;
            case RunNotice.SettingChanged { Change: { Setting: SettingKind.Clip, Value: var clip } }:
                _optimizer = _optimizer with { Clip = clip };
                break;
            case RunNotice.Placed placed:
                _sharesClock = placed.Nodes.Select(node => node.HostName).Distinct(StringComparer.Ordinal).Count() <= 1;
                break;
            case RunNotice.Recovering or RunNotice.RolledBack:
                _choice = choose();
                break;
            case RunNotice.UnitsMoved moved:
                Changed(Text($"units were divided anew after step {moved.Step}"));
                break;
            case RunNotice.ReplicasChanged changed:
                Changed(Text($"{changed.To} replicas went on instead of {changed.From} after step {changed.Step}"));
                break;
        }
    }

    /// <summary>The prediction is of a layout that the run no longer has.</summary>
    public void Changed(string how) => _changed = how;

    /// <summary>What is said at the end; nothing where no step was measured.</summary>
    public IReadOnlyList<string> Lines()
    {
        List<string> others = [];
        if (_times.Exchange is { } sentence) others.Add(sentence);
        if (_stepCount > 0) others.Add(Clipping());
        if (_changed is not null) return _times.IsAny ? [$"prediction not held against the run: {_changed}", .. others] : [];
        return [.. _prediction.Value.Lines(_times, Traced, _waited.Skip(StepTimes.WarmUpStepCount).Count(waited => waited), _sharesClock), .. others];
    }

    private void Count(StepSummary step)
    {
        _stepCount++;
        if (step.IsClipped) _clippedCount++;
        if (step.IsRedone) _redoneCount++;
    }

    private string Clipping() => Text(
        $"clipping   {_clippedCount} of {_stepCount} steps were clipped ({(double)_clippedCount / _stepCount:P1}), {_redoneCount} begun anew since the step before them was not what they had been begun on ({(double)_redoneCount / _stepCount:P1})");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
