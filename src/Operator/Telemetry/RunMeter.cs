using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using Pipeline.Coordinator;
using Pipeline.Protocol;

namespace Pipeline.Operator;

/// <summary>
/// A run in the standard forms of .NET: instruments of the meter <see cref="Name"/>, and in the trace of each step a span for its being committed, which
/// follows from what the first rank did; the ranks' own spans are made where they compute. Whoever exports them listens; nobody need.
/// </summary>
public sealed class RunMeter : IRunObserver, IDisposable
{
    /// <summary>Name of meter and activity source.</summary>
    public const string Name = "Pipeline.Run";

    private static readonly ActivitySource Activities = new(Name);
    private static readonly double[] StepBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
    private readonly Meter _meter = new(Name);
    private readonly Counter<long> _steps;
    private readonly Counter<long> _tokens;
    private readonly Counter<double> _busy;
    private readonly Counter<double> _wait;
    private readonly Counter<double> _exposed;
    private readonly Counter<long> _exchanged;
    private readonly Counter<long> _checkpoints;
    private readonly Counter<long> _checkpointFailures;
    private readonly Counter<long> _recoveries;
    private readonly Counter<long> _warnings;
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _recovery;
    private readonly TimeProvider _time;
    private readonly RunId _run;
    private StepSummary? _last;
    private double _validation = double.NaN;

    /// <param name="time">Clock of the traces.</param>
    /// <param name="run">The run, which with a step names the step's trace.</param>
    public RunMeter(TimeProvider time, RunId run = default)
    {
        (_time, _run) = (time, run);
        _steps = _meter.CreateCounter<long>("pipeline.steps", "{step}", "Committed steps");
        _tokens = _meter.CreateCounter<long>("pipeline.tokens", "{token}", "Tokens of committed steps");
        _busy = _meter.CreateCounter<double>("pipeline.rank.busy.time", "s", "Time in which a rank computed");
        _wait = _meter.CreateCounter<double>("pipeline.rank.wait.time", "s", "Time in which a rank waited for inputs");
        _exposed = _meter.CreateCounter<double>("pipeline.rank.exposed.time", "s", "Time in which a rank waited for other replicas: communication that nothing hid");
        _exchanged = _meter.CreateCounter<long>("pipeline.rank.exchanged", "By", "Bytes of tensors that a rank sent to other replicas");
        _checkpoints = _meter.CreateCounter<long>("pipeline.checkpoints", "{checkpoint}", "Checkpoints saved");
        _checkpointFailures = _meter.CreateCounter<long>("pipeline.checkpoint.failures", "{failure}", "Checkpoints that could not be saved");
        _recoveries = _meter.CreateCounter<long>("pipeline.recoveries", "{recovery}", "Generations begun because something was lost, or to try again");
        _warnings = _meter.CreateCounter<long>("pipeline.warnings", "{warning}", "What the watchdog has noticed");
        _duration = _meter.CreateHistogram("pipeline.step.duration", "s", "Time of a step, completion to completion", null, new InstrumentAdvice<double> { HistogramBucketBoundaries = StepBuckets });
        _recovery = _meter.CreateHistogram("pipeline.recovery.duration", "s", "From a suspicion to the next committed step", null, new InstrumentAdvice<double> { HistogramBucketBoundaries = StepBuckets });
        Gauge("pipeline.step", "{step}", "Last committed step", step => step.Step);
        Gauge("pipeline.loss", "{nat}", "Mean loss per token of the last step", step => step.Loss);
        Gauge("pipeline.gradient.norm", "1", "Global norm of the mean gradient before clipping", step => step.GradientNorm);
        Gauge("pipeline.learning_rate", "1", "Learning rate of the last step", step => step.LearningRate);
        Gauge("pipeline.bubble", "1", "Idle share of the ranks' time in the last step", step => step.Bubble);
        Gauge("pipeline.throughput", "{token}/s", "Tokens a second in the last step", step => step.Seconds > 0 ? step.TokenCount / step.Seconds : 0);
        _meter.CreateObservableGauge("pipeline.validation.loss", () => Finite(_validation), "{nat}", "Mean loss per token of the held-out text");
    }

    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        switch (notice)
        {
            case RunNotice.StepCommitted { Step: var step }: Enter(step); break;
            case RunNotice.Evaluated evaluated: _validation = evaluated.Loss; break;
            case RunNotice.CheckpointSaved: _checkpoints.Add(1); break;
            case RunNotice.SaveFailed: _checkpointFailures.Add(1); break;
            case RunNotice.Recovering or RunNotice.RolledBack: _recoveries.Add(1); break;
            case RunNotice.Recovered recovered: _recovery.Record((recovered.Placement + recovered.Loading + recovered.Replay).TotalSeconds); break;
            case RunNotice.Warned warned: _warnings.Add(1, KeyValuePair.Create<string, object?>("kind", warned.Kind)); break;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();

    private void Enter(StepSummary step)
    {
        _last = step;
        _steps.Add(1);
        _tokens.Add(step.TokenCount);
        _duration.Record(step.Seconds);
        foreach (var rank in step.Ranks)
        {
            var tag = KeyValuePair.Create<string, object?>("rank", rank.Rank.ToString(CultureInfo.InvariantCulture));
            _busy.Add(rank.Timing.BusySeconds, tag);
            _wait.Add(rank.Timing.WaitSeconds, tag);
            if (rank.Timing.ExchangedBytes == 0) continue;
            _exposed.Add(rank.Timing.ExposedSeconds, tag);
            _exchanged.Add(rank.Timing.ExchangedBytes, tag);
        }

        if (Activities.HasListeners()) Trace(step);
    }

    private void Trace(StepSummary step)
    {
        var end = _time.GetUtcNow();
        // The observer's thread belongs to no step.
        Activity.Current = null;
        using var commit = Activities.StartActivity("commit", ActivityKind.Internal, StepTraces.ContextOf(_run, step.Step, step.Ranks.Select(rank => rank.Span).FirstOrDefault(span => span != 0)),
        [
            new("pipeline.run", _run.ToString()), new("pipeline.step", step.Step), new("pipeline.loss", step.Loss), new("pipeline.gradient_norm", step.GradientNorm),
            new("pipeline.seconds", step.Seconds), new("pipeline.bubble", step.Bubble),
        ],
        startTime: end - TimeSpan.FromSeconds(step.Seconds));
        commit?.SetEndTime(end.UtcDateTime);
    }

    private void Gauge(string name, string unit, string description, Func<StepSummary, double> value) =>
        _meter.CreateObservableGauge(name, () => _last is { } step ? Finite(value(step)) : [], unit, description);

    private static IEnumerable<Measurement<double>> Finite(double value) => double.IsFinite(value) ? [new Measurement<double>(value)] : [];
}
