using Akka.Actor;
using Akka.Event;
using Pipeline.Protocol;
using Pipeline.Runs;

namespace Pipeline.Coordinator;

/// <summary>Passes a run's notices to its observer, off the coordinator's own thread, and says at the end that all have been passed.</summary>
internal sealed class ObserverActor : ReceiveActor
{
    private readonly IRunObserver _observer;
    private readonly IRunJournal? _journal;
    private readonly TaskCompletionSource<RunOutcome> _ended;
    private readonly ILoggingAdapter _log = Context.GetLogger();

    public ObserverActor(IRunObserver observer, IRunJournal? journal, TaskCompletionSource<RunOutcome> ended)
    {
        _observer = observer;
        _journal = journal;
        _ended = ended;
        Receive<RunNotice>(OnNotice);
    }

    internal static Props Props(IRunObserver observer, IRunJournal? journal, TaskCompletionSource<RunOutcome> ended) =>
        Akka.Actor.Props.Create(() => new ObserverActor(observer, journal, ended));

    private void OnNotice(RunNotice notice)
    {
        if (_journal is { IsSuperseded: true })
        {
            // A coordinator that woke too late: what it has heard belongs to its successor.
            _ended.TrySetResult(new RunOutcome(RunEnd.Failed, 0, "Another coordinator has taken the run over."));
            Context.Stop(Self);
            return;
        }

        var outcome = (notice as RunNotice.Ended)?.Outcome;
        try
        {
            _observer.OnNotice(notice);
        }
        catch (Exception fault) when (fault is RunException or IOException or UnauthorizedAccessException)
        {
            // A full disk under the metrics must not end a run whose checkpoints may still be saved elsewhere.
            _log.Say(LogLevel.ErrorLevel, new LogSaying("notice-not-recorded", $"A notice could not be recorded: {fault.Message}"));
        }
        catch (Exception fault)
        {
            _ended.TrySetException(fault);
            throw;
        }

        if (notice is RunNotice.StepCommitted committed) Context.Parent.Tell(new StepRecorded(committed.Step.Step));
        if (outcome is null) return;
        _ended.TrySetResult(outcome);
        Context.Stop(Self);
    }
}
