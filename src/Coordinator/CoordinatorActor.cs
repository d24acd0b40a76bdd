using Akka.Actor;
using Akka.Serialization;
using Pipeline.Checkpoints;
using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Leads one run: assigns the stages, hands out windows of steps, commits what every rank has reported, collects checkpoints, and ends
/// the run. It is not on a step's path: stages go on with what is granted whether it answers or not. What to do is decided by the pure
/// types of this room; the actor only carries it out.
/// </summary>
public sealed class CoordinatorActor : ReceiveActor, IWithTimers
{
    private readonly CoordinatedRun _run;
    private readonly TaskCompletionSource<RunOutcome> _ended;
    private readonly IRunObserver _observedBy;
    private readonly StepLedger _ledger;
    private readonly Generation _generation = Generation.First;
    private readonly HashSet<int> _stopped = [];
    private readonly HashSet<long> _openEvaluations = [];
    private readonly Dictionary<int, long> _parameterCounts = [];
    private readonly SaveProgress _saves;
    private IActorRef[] _stages = [];
    private IActorRef _observer = ActorRefs.Nobody;
    private RunPlan _plan;
    private long _granted;
    private int _openCommits;
    private Task _lastCommit = Task.CompletedTask;
    private bool _isStopWanted;
    private bool _isLastStepCommitted;
    private bool _isObserverLost;
    private RunOutcome? _outcome;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public CoordinatorActor(CoordinatedRun run, IRunObserver observer, TaskCompletionSource<RunOutcome> ended)
    {
        _run = run;
        _plan = run.Plan;
        _observedBy = observer;
        _ended = ended;
        _granted = run.Plan.StartStep;
        _ledger = new StepLedger(run.RankCount, run.Plan.StartStep);
        _saves = new SaveProgress(run.RankCount, run.Plan.StartStep, run.Retry);
        Assigning();
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>How to make one.</summary>
    /// <param name="run">What to lead.</param>
    /// <param name="observer">Told everything, on an actor of its own.</param>
    /// <param name="ended">Set when the run is over, its stages have stopped and the observer has seen the last notice.</param>
    public static Props Props(CoordinatedRun run, IRunObserver observer, TaskCompletionSource<RunOutcome> ended) =>
        Akka.Actor.Props.Create(() => new CoordinatorActor(run, observer, ended));

    /// <inheritdoc/>
    protected override void PreStart()
    {
        _observer = Context.WatchWith(Context.ActorOf(ObserverActor.Props(_observedBy, _ended), "observer"), new ObserverLost());
        _stages = [.. Enumerable.Range(0, _run.RankCount).Select(rank => _run.Stages(Context, rank))];
        for (var rank = 0; rank < _stages.Length; rank++) Context.WatchWith(_stages[rank], new StageLost(rank));
        var layout = _run.Layout(_generation, [.. _stages.Select(stage => new RankPlace(new NodeId(stage.Path.Address.ToString(), 0), Serialization.SerializedActorPath(stage), "", null))]);
        for (var rank = 0; rank < _stages.Length; rank++)
            _stages[rank].Tell(new AssignStage(_generation, rank, layout, StartingPoint.Checkpoint(_plan.StartStep), _run.Recording));
    }

    /// <inheritdoc/>
    protected override void PostStop() =>
        _ended.TrySetResult(_outcome ?? new RunOutcome(RunEnd.Failed, _ledger.Committed, "The coordinator was stopped before the run ended."));

    /// <summary>A stage with lost state must not go on under its old name: it stops and is reported.</summary>
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Stop);

    private void Assigning()
    {
        Receive<StageReady>(IsCurrent, OnReady);
        Receive<StopRun>(_ => End(new RunOutcome(RunEnd.Stopped, _plan.StartStep)));
        ReceiveFailures();
    }

    private void Running()
    {
        Receive<StepCompleted>(IsCurrent, OnStepCompleted);
        Receive<HeldOutEvaluated>(IsCurrent, OnEvaluated);
        Receive<CheckpointPartWritten>(IsCurrent, OnPartWritten);
        Receive<CheckpointPartFailed>(IsCurrent, part => OnSaveFailed(new SaveAttempt(part.Step, part.Attempt), part.Message));
        Receive<CheckpointCommitted>(OnCommitted);
        Receive<CommitFailed>(OnCommitFailed);
        Receive<RetrySaveTick>(_ => OnRetrySave());
        Receive<StopRun>(_ => OnStopWanted());
        ReceiveFailures();
    }

    private void Ending()
    {
        Receive<StageStopped>(IsCurrent, stopped => OnStopped(stopped.Rank));
        Receive<StageLost>(lost => OnStopped(lost.Rank));
        Receive<StopPatienceTick>(_ => Finish());
        Receive<CheckpointPartWritten>(IsCurrent, OnPartWritten);
        Receive<CheckpointCommitted>(OnCommitted);
        Receive<CommitFailed>(_ => OnCommitEnded());
        Receive<ObserverLost>(_ => _isObserverLost = true);
        ReceiveAny(_ => { });
    }

    /// <summary>All is said and done; the observer's end ends the coordinator.</summary>
    private void Finished()
    {
        Receive<ObserverLost>(_ => Context.Stop(Self));
        ReceiveAny(_ => { });
    }

    private void ReceiveFailures()
    {
        Receive<StageFailed>(IsCurrent, OnStageFailed);
        Receive<StageLost>(lost => End(Failed($"The actor of rank {lost.Rank} is gone.")));
        Receive<ObserverLost>(_ => OnObserverLost());
        Receive<IEvent>(_ => { });
    }

    private bool IsCurrent(IEvent report) => report.Generation == _generation;

    private void OnReady(StageReady ready)
    {
        _parameterCounts[ready.Rank] = ready.ParameterCount;
        if (_parameterCounts.Count < _run.RankCount) return;
        _observer.Tell(new RunNotice.StagesReady(_parameterCounts.Values.Sum()));
        Become(Running);
        Advance();
    }

    private void OnStepCompleted(StepCompleted report)
    {
        var committed = _ledger.Enter(report);
        foreach (var reports in committed)
        {
            _isLastStepCommitted |= reports[0].Totals.IsLast;
            _observer.Tell(new RunNotice.StepCommitted(StepSummary.Of(reports)));
        }

        if (committed.Count > 0) Advance();
    }

    private void OnEvaluated(HeldOutEvaluated evaluated)
    {
        _openEvaluations.Remove(evaluated.AfterStep);
        if (evaluated.TokenCount > 0)
            _observer.Tell(new RunNotice.Evaluated(evaluated.AfterStep, evaluated.LossSum / evaluated.TokenCount, evaluated.TokenCount));
        Advance();
    }

    private void OnPartWritten(CheckpointPartWritten part)
    {
        if (_saves.Enter(part) is not { } files || _run.Keeper is not { } keeper) return;
        var attempt = new SaveAttempt(part.Step, part.Attempt);
        _openCommits++;
        // One after the other: a commit prunes, and must not take an attempt that is being committed for a leftover.
        var commit = _lastCommit.ContinueWith(_ => keeper.Commit(attempt, files), TaskScheduler.Default);
        _lastCommit = commit;
        _ = commit.PipeTo(
            Self,
            success: saved => new CheckpointCommitted(attempt, saved.ByteCount, saved.Warning),
            failure: fault => new CommitFailed(attempt, fault.Message));
    }

    private void OnCommitted(CheckpointCommitted saved)
    {
        _saves.Succeeded(saved.Attempt);
        _observer.Tell(new RunNotice.CheckpointSaved(saved.Attempt.Step, saved.ByteCount, saved.Warning));
        OnCommitEnded();
    }

    private void OnCommitEnded()
    {
        _openCommits--;
        if (_outcome is null) Advance();
        else FinishWhenQuiet();
    }

    private void OnCommitFailed(CommitFailed failed)
    {
        _openCommits--;
        OnSaveFailed(failed.Attempt, failed.Message);
    }

    private void OnSaveFailed(SaveAttempt attempt, string message)
    {
        if (_saves.Failed(attempt, isFinal: attempt.Step == _plan.EndStep) is not { } decision) return;
        if (_run.Keeper is { } keeper) _ = Task.Run(() => keeper.Abandon(attempt));
        if (decision.GivesUp)
        {
            End(Failed($"The last checkpoint could not be saved. {message}"));
            return;
        }

        _observer.Tell(new RunNotice.SaveFailed(attempt.Step, $"{message} The run goes on; the next try is in {decision.Delay.TotalSeconds:0} s."));
        Timers.StartSingleTimer("retry-save", new RetrySaveTick(), decision.Delay);
    }

    private void OnRetrySave()
    {
        if (!_saves.NeedsRetry) return;
        // A save under way may mend the failure, and two of one step would be in each other's way.
        if (_saves.IsSaving) Timers.StartSingleTimer("retry-save", new RetrySaveTick(), _run.Retry.FirstDelay);
        else Issue(new StageDirective.Save(_granted));
    }

    private void OnStopWanted()
    {
        if (_isStopWanted) return;
        _isStopWanted = true;
        _observer.Tell(new RunNotice.Stopping(_granted));
        TellAll(new EndAfterStep(_generation));
        Advance();
    }

    private void OnStageFailed(StageFailed failure)
    {
        _observer.Tell(new RunNotice.StageFailed(failure));
        End(new RunOutcome(RunEnd.Failed, _ledger.Committed, failure.Message, failure));
    }

    private void OnObserverLost()
    {
        _isObserverLost = true;
        End(Failed("The observer of the run failed."));
    }

    private void Advance()
    {
        if (_isStopWanted) SettleEnd();
        else foreach (var directive in WindowPlan.Next(_plan, _granted, _ledger.Committed)) Issue(directive);
        var isDone = _ledger.Committed == _plan.EndStep && _openEvaluations.Count == 0 && (!_plan.Saves || _saves.LastSaved == _plan.EndStep);
        if (isDone) End(new RunOutcome(_isStopWanted && _plan.EndStep < _run.Plan.EndStep ? RunEnd.Stopped : RunEnd.Completed, _plan.EndStep));
    }

    /// <summary>
    /// After a request to stop: the run ends with the step that the stages made the last, or, if they were through with all that was
    /// granted, with that. What was handed out beyond it they pass over.
    /// </summary>
    private void SettleEnd()
    {
        var isSettled = _isLastStepCommitted || _ledger.Committed == _granted;
        if (!isSettled || _plan.EndStep == _ledger.Committed) return;
        _granted = _ledger.Committed;
        _plan = _plan with { EndStep = _granted };
        _openEvaluations.RemoveWhere(step => step > _granted);
        if (_plan.Saves && _saves.LastIssued != _granted) Issue(new StageDirective.Save(_granted));
    }

    private void Issue(StageDirective directive)
    {
        switch (directive)
        {
            case StageDirective.Grant grant:
                _granted = grant.ThroughStep;
                TellAll(new GrantSteps(_generation, grant.ThroughStep, _ledger.Committed, _ledger.Committed, _ledger.Committed));
                break;
            case StageDirective.Evaluate evaluate:
                _openEvaluations.Add(evaluate.AfterStep);
                break;
            case StageDirective.Save save:
                TellAll(new SaveCheckpoint(_generation, save.Step, _saves.Begin(save.Step).Attempt));
                break;
        }
    }

    private void End(RunOutcome outcome)
    {
        _outcome = outcome;
        Timers.CancelAll();
        Timers.StartSingleTimer("stop-patience", new StopPatienceTick(), _run.StopPatience);
        TellAll(new StopStage(_generation));
        Become(Ending);
    }

    private void OnStopped(int rank)
    {
        _stopped.Add(rank);
        FinishWhenQuiet();
    }

    /// <summary>A checkpoint whose files are written is still made one, however the run ends.</summary>
    private void FinishWhenQuiet()
    {
        if (_stopped.Count == _run.RankCount && _openCommits == 0) Finish();
    }

    private void Finish()
    {
        if (_outcome is not { } outcome) return;
        Timers.CancelAll();
        if (_isObserverLost) Context.Stop(Self);
        else _observer.Tell(new RunNotice.Ended(outcome));
        Become(Finished);
    }

    private RunOutcome Failed(string error) => new(RunEnd.Failed, _ledger.Committed, error);

    private void TellAll(ICommand command)
    {
        foreach (var stage in _stages) stage.Tell(command);
    }
}
