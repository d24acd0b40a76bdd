using System.Runtime.ExceptionServices;
using Pipeline.Protocol;
using Pipeline.Runs;

namespace Pipeline.Coordinator;

/// <summary>Writes what a run tells into the run directory: metrics, digests, events, TensorBoard. Owns the four files.</summary>
/// <param name="metrics">One line a committed step or evaluation.</param>
/// <param name="digests">Hashes of the state, a line a step that has them.</param>
/// <param name="events">Faults, checkpoints, the end.</param>
/// <param name="tensorBoard">The same curves for TensorBoard; null for none.</param>
/// <param name="bitsPerByte">From a loss in nats per token to bits per byte of text; null where bytes are not known.</param>
/// <param name="ledger">What was changed of the run; null for a run that nothing is changed of.</param>
/// <param name="files">Where dumps of flight recorders go; null for nowhere.</param>
public sealed class RunRecorder(
    MetricsWriter metrics,
    DigestFile digests,
    EventLog events,
    TensorBoardWriter? tensorBoard = null,
    Func<double, double>? bitsPerByte = null,
    SettingsLedger? ledger = null,
    RunFiles? files = null) : IRunObserver, IDisposable
{
    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        switch (notice)
        {
            case RunNotice.StepCommitted { Step: var step }:
                Write(step);
                break;
            case RunNotice.Evaluated evaluated:
                Write(evaluated);
                break;
            case RunNotice.CheckpointSaved saved:
                events.Write("checkpoint-saved", EventSeverity.Information, EventField.Of("step", saved.Step), EventField.Of("bytes", saved.ByteCount));
                if (saved.Warning is { } warning) events.Write("prune-failed", EventSeverity.Warning, EventField.Of("message", warning));
                break;
            case RunNotice.SaveFailed failed:
                events.Write("save-failed", EventSeverity.Warning, EventField.Of("step", failed.Step), EventField.Of("message", failed.Message));
                break;
            case RunNotice.StageFailed { Failure: var failure }:
                Write(failure);
                break;
            case RunNotice.Stopping stopping:
                events.Write("stop-requested", EventSeverity.Information, EventField.Of("step", stopping.EndStep));
                break;
            case RunNotice.Ended { Outcome: var outcome }:
                Write(outcome);
                break;
            case RunNotice.SettingChanged { Change: var change }:
                ledger?.Write(new ChangedSetting(change.FromStep, SettingChange.NameOf(change.Setting), change.AsWord() is null ? change.Value : double.NaN, change.AsWord()));
                OperatorEvents.Write(events, notice);
                break;
            case RunNotice.FlightGathered { Dump: var dump }:
                Write(dump);
                break;
            default:
                OperatorEvents.Write(events, notice);
                ClusterEvents.Write(events, notice);
                break;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        metrics.Dispose();
        digests.Dispose();
        events.Dispose();
        tensorBoard?.Dispose();
        ledger?.Dispose();
    }

    /// <summary>A step as a line of metrics.</summary>
    public static StepMetrics MetricsOf(StepSummary step) => new(step.Step)
    {
        Loss = step.Loss,
        GradientNorm = step.GradientNorm,
        LearningRate = step.LearningRate,
        Tokens = step.TokenCount,
        Seconds = step.Seconds,
        Bubble = step.Bubble,
        Clipped = step.IsClipped,
        Redone = step.IsRedone,
        Generation = step.Generation,
        Stages = [.. step.Ranks.Select(rank => StageOf(rank))],
        Digest = step.Digests.Count > 0 ? ParameterDigest.ByUnit(step.Digests) : null,
    };

    private static StageMetrics StageOf(RankSummary rank) => new(
        rank.Rank, rank.Timing.BusySeconds, rank.Timing.WaitSeconds, rank.Timing.Bubble, rank.Timing.DiscardedActions,
        rank.Timing.ExchangedBytes > 0 ? rank.Timing.ExposedSeconds : null, rank.Timing.ExchangedBytes > 0 ? rank.Timing.ExchangedBytes : null,
        rank.Timing.Seconds, rank.Timing.OwnSeconds);

    private void Write(StepSummary step)
    {
        // The line of metrics says that the step is recorded, so that it comes last: whoever takes the run over goes by it.
        if (step.Digests.Count > 0)
        {
            digests.Write(new StepDigests(step.Step, [.. step.Digests.Select(digest =>
                new TensorDigest(digest.Unit, digest.Parameter, digest.Weight, digest.FirstMoment, digest.SecondMoment))]));
        }

        var line = MetricsOf(step);
        metrics.Write(line);
        tensorBoard?.Write(line);
    }

    private void Write(RunNotice.Evaluated evaluated)
    {
        var line = new EvaluationMetrics(evaluated.AfterStep, evaluated.Loss, bitsPerByte?.Invoke(evaluated.Loss));
        metrics.Write(line);
        tensorBoard?.Write(line);
    }

    private void Write(StageProtocol.StageFailed failure) => events.Write(
        "stage-failed",
        EventSeverity.Error,
        EventField.Of("rank", failure.Rank),
        EventField.Of("stage", failure.Stage),
        EventField.Of("step", failure.Step),
        EventField.Of("action", failure.Action),
        EventField.Of("message", failure.Message),
        EventField.Of("detail", failure.Detail));

    private void Write(FlightDump dump)
    {
        if (files is null) return;
        try
        {
            events.Write("flight-dumped", EventSeverity.Warning, EventField.Of("step", dump.Step), EventField.Of("path", FlightFile.Write(files, dump)), EventField.Of("reason", dump.Reason));
        }
        catch (RunException fault)
        {
            // What helps to understand a fault must not add one.
            events.Write("flight-lost", EventSeverity.Warning, EventField.Of("step", dump.Step), EventField.Of("message", fault.Message));
        }
    }

    private void Write(RunOutcome outcome) => WriteEnd(events, outcome);

    /// <summary>Writes the end of a run, which tells whoever reads along that nothing more will come.</summary>
    public static void WriteEnd(EventLog events, RunOutcome outcome) => events.Write(
        outcome.End switch { RunEnd.Completed => "run-completed", RunEnd.Stopped => "run-stopped", _ => "run-failed" },
        outcome.End == RunEnd.Failed ? EventSeverity.Error : EventSeverity.Information,
        EventField.Of("step", outcome.Step),
        EventField.Of("message", outcome.Error),
        EventField.Of("preparation", outcome.IsPreparationFailure));
}

/// <summary>Passes notices to several observers, one after the other; one that fails does not keep them from the others.</summary>
/// <param name="observers">In the order in which they are told.</param>
public sealed class ObserverChain(params IReadOnlyList<IRunObserver> observers) : IRunObserver
{
    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        ExceptionDispatchInfo? first = null;
        foreach (var observer in observers)
        {
            try
            {
                observer.OnNotice(notice);
            }
            catch (Exception fault)
            {
                first ??= ExceptionDispatchInfo.Capture(fault);
            }
        }

        first?.Throw();
    }
}
