using Akka.Actor;
using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>How a coordinator ends: its stages stop, checkpoints whose files are written become checkpoints, the observer hears the last notice.</summary>
public sealed partial class CoordinatorActor
{
    private void Ending()
    {
        Receive<StageStopped>(IsCurrent, stopped => OnStopped(stopped.Rank));
        Receive<StageLost>(lost => OnStopped(lost.Rank));
        Receive<NodeSuspected>(suspected => OnLostWhileEnding(suspected.Node));
        Receive<NodeLeft>(left => OnLostWhileEnding(left.Node));
        Receive<StopPatienceTick>(_ => Finish());
        Receive<StepCompleted>(IsCurrent, OnCompletedWhileEnding);
        Receive<CheckpointPartWritten>(IsCurrent, _saving.Enter);
        Receive<CheckpointCommitted>(OnCommitted);
        Receive<CheckpointsPruned>(OnPruned);
        Receive<CommitFailed>(_ => OnCommitEnded());
        Receive<ObserverLost>(_ => _isObserverLost = true);
        Receive<QueryStatus>(_ => Sender.Tell(Status("ending")));
        ReceiveFlights();
        ReceiveRecords();
        ReceiveAny(_ => { });
    }

    /// <summary>All is said and done; the observer's end ends the coordinator.</summary>
    private void Finished()
    {
        Receive<ObserverLost>(_ => Context.Stop(Self));
        ReceiveAny(_ => { });
    }

    private void End(RunOutcome outcome)
    {
        if (_outcome is not null) return;
        _outcome = outcome;
        Timers.CancelAll();
        RefuseWaiting();
        Timers.StartSingleTimer("stop-patience", new StopPatienceTick(), _run.StopPatience);
        TellAll(new StopStage(_ranks.Generation));
        Become(Ending);
        FinishWhenQuiet();
    }

    private void OnStopped(int rank)
    {
        _stopped.Add(rank);
        FinishWhenQuiet();
    }

    /// <summary>A rank that lagged behind has completed the step of the last checkpoint: its line must not be missing.</summary>
    private void OnCompletedWhileEnding(StepCompleted report)
    {
        foreach (var reports in _progress.Enter(report)) _observer.Tell(new RunNotice.StepCommitted(SummaryOf(reports)));
        _outcome = _outcome! with { Step = _progress.Committed };
    }

    private void OnLostWhileEnding(NodeId node)
    {
        foreach (var rank in _ranks.On(node)) _stopped.Add(rank);
        FinishWhenQuiet();
    }

    /// <summary>A checkpoint whose files are written is still made one, however the run ends.</summary>
    private void FinishWhenQuiet()
    {
        if (_stopped.Count >= _ranks.Refs.Count && _saving.IsQuiet) Finish();
    }

    private void Finish()
    {
        if (_outcome is not { } outcome) return;
        Timers.CancelAll();
        RefuseSaves();
        FinishFlights();
        Release();
        if (_isObserverLost) Context.Stop(Self);
        else _observer.Tell(new RunNotice.Ended(outcome));
        Become(Finished);
    }

    private RunOutcome Failed(string error) => new(RunEnd.Failed, _progress.Committed, error);

    private void TellAll(ICommand command)
    {
        foreach (var stage in _ranks.Refs) stage.Tell(command);
    }
}
