using Akka.Actor;
using Pipeline.Protocol;
using static Pipeline.Protocol.NodeProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Leads one run: assigns the stages, hands out windows of steps, commits what every rank has reported, collects checkpoints, puts lost
/// ranks elsewhere, and ends the run. It is not on a step's path: stages go on with what is granted whether it answers or not. What to do
/// is decided by the pure types of this room; the actor only carries it out.
/// </summary>
public sealed partial class CoordinatorActor : ReceiveActor, IWithTimers
{
    // Replaced where fewer ranks go on.
    private CoordinatedRun _run;
    private readonly TaskCompletionSource<RunOutcome> _ended;
    private readonly IRunObserver _observedBy;
    private readonly RankTable _ranks;
    private readonly CheckpointSaving _saving;
    private readonly Dictionary<int, long> _parameterCounts = [];
    private readonly Queue<(long Step, long EvaluatedThrough)> _told = [];
    private readonly SortedDictionary<long, RunNotice.Evaluated> _early = [];
    private readonly HashSet<int> _stopped = [];
    private readonly RebalanceWatch _rebalance;
    private ReachedSteps _reached;
    private RunProgress _progress;
    private CopyLedger _copies;
    private IActorRef _observer = ActorRefs.Nobody;
    private (long Step, long EvaluatedThrough) _recorded;
    private long _announcedProtection;
    private long _assured;
    private bool _hasBegun;
    private bool _isObserverLost;
    private RunOutcome? _outcome;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public CoordinatorActor(CoordinatedRun run, IRunObserver observer, TaskCompletionSource<RunOutcome> ended)
    {
        _run = run;
        _observedBy = observer;
        _ended = ended;
        _ranks = new RankTable(run);
        _saving = new CheckpointSaving(run, _ranks.RankCount, run.Predecessor?.CheckpointStep ?? run.Plan.StartStep, Self);
        // A predecessor's decisions hold all changes, also those that the run began with.
        var plan = run.Predecessor?.Entry.Changes is { } changes ? changes.Aggregate(run.Plan with { Changes = [] }, static (changed, change) => changed.With(change)) : run.Plan;
        _ranks.Cadence = plan.Cadence;
        _progress = new RunProgress(plan, _ranks.RankCount, run.Predecessor?.RecordedStep ?? run.Plan.StartStep, run.Predecessor?.RecordedEvaluation ?? run.Plan.StartStep);
        _copies = new CopyLedger(_ranks.RankCount, _ranks.Base.Step);
        _recorded = (_progress.Committed, _progress.EvaluatedThrough);
        _announcedProtection = _ranks.Base.Step;
        _reached = new ReachedSteps(_ranks.RankCount);
        _knowsGrants = run.Predecessor is null;
        _standstill = new Standstill(run.Recovery.RepeatLimit);
        _hang = new HangWatch(run.Recovery.HangAfter, run.Predecessor?.Entry.Hangs ?? run.Hangs);
        _compression = run.Trial is { } trial ? new CompressionWatch(trial) : null;
        _rebalance = new RebalanceWatch(run.Rebalance, _ranks.ReplicaRankCount);
        _nonFinite = new NonFiniteWatch(plan.NonFinite, _progress.Committed, run.Predecessor?.SkippedInRow ?? plan.SkippedInRow, run.Predecessor?.Entry.Failures);
        if (run.Stages is null) Gathering();
        else Leading();
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
        _observer = Context.WatchWith(Context.ActorOf(ObserverActor.Props(_observedBy, _run.Journal, _ended), "observer"), new ObserverLost());
        if (_run.Stages is { } locator) PlaceAt(locator);
        else Timers.StartSingleTimer("nodes", new NodePatienceTick(), _run.Recovery.NodePatience);
    }

    /// <inheritdoc/>
    protected override void PostStop() =>
        _ended.TrySetResult(_outcome ?? new RunOutcome(RunEnd.Failed, _progress.Committed, "The coordinator was stopped before the run ended."));

    /// <summary>A stage with lost state must not go on under its old name: it stops and is reported.</summary>
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Stop);

    private void Gathering()
    {
        Receive<NodePatienceTick>(_ => OnNodePatience());
        Receive<AskAgainTick>(_ => AskHosted());
        Receive<HostedReport>(OnHosted);
        Receive<StopRun>(_ => End(new RunOutcome(RunEnd.Stopped, _progress.Committed)));
        ReceiveNodes();
        ReceiveCommon();
    }

    private void Leading()
    {
        Receive<StageAssigned>(IsCurrent, OnAssigned);
        Receive<StageReady>(IsCurrent, OnReady);
        Receive<StepCompleted>(IsCurrent, OnStepCompleted);
        Receive<HeldOutEvaluated>(IsCurrent, OnEvaluated);
        Receive<CopyStored>(IsCurrent, OnCopyStored);
        Receive<StepRecorded>(OnStepRecorded);
        Receive<StopRun>(_ => OnStopWanted());
        Receive<StageFailed>(IsCurrent, OnStageFailed);
        Receive<StageLost>(OnStageLost);
        Receive<StallTick>(_ => OnStall());
        Receive<HostedReport>(OnStanding);
        ReceiveSaving();
        ReceiveHolding();
        ReceiveNodes();
        ReceiveMoves();
        ReceiveOperations();
        ReceiveCommon();
    }

    private void ReceiveCommon()
    {
        Receive<DecisionRecorded>(OnDecisionRecorded);
        Receive<DecisionRefused>(refused => End(Failed($"The run's journal took no decision. {refused.Message}")));
        Receive<ObserverLost>(_ => OnObserverLost());
        Receive<QueryStatus>(_ => Sender.Tell(Status(Phase)));
        ReceiveFlights();
        ReceiveRecords();
        ReceiveAny(_ => { });
    }

    /// <summary>Whether copies are taken and kept; otherwise what is kept serves to mend lost messages only.</summary>
    private bool IsProtected => Protection.Kind == ProtectionKind.Disk
        || (Protection.Kind == ProtectionKind.Memory && _ranks.Places.Count > 0 && _ranks.Places.All(place => place.Holder is not null));

    /// <summary>Where copies go now, and how often, with what an operator has changed of it.</summary>
    private ProtectionDuties Protection => _run.Protection.At(long.MaxValue, _progress.Plan.Changes);

    /// <summary>Whether all ranks have heard of the present generation, or are told of it first.</summary>
    private bool IsSettled => _ranks.IsOpen && _decided is null;

    private bool IsCurrent(IEvent report) => report.Generation == _ranks.Generation && (uint)report.Rank < (uint)_ranks.RankCount;

    private void OnReady(StageReady ready)
    {
        if (_run.Stages is null) _ranks.Speaks(ready.Rank, Sender);
        // Who has its state takes inputs; the word of that may have been lost.
        if (_ranks.Assigned(ready.Rank)) RegenerateOthers();
        if (!_ranks.Ready(ready.Rank)) return;
        Reached(Waypoint.Ready, ready.Rank);
        _parameterCounts[ready.Rank] = ready.ParameterCount;
        if (_ranks.Unready.Count == 0) OnAllReady();
        else if (_hasBegun) SendGrant(ready.Rank);
    }

    private void OnAllReady()
    {
        _episode?.Loaded(_run.Clock);
        if (!_hasBegun) _observer.Tell(new RunNotice.StagesReady(_parameterCounts.Values.Sum()));
        _hasBegun = true;
        SendGrants();
        Hold();
    }

    private void OnStepCompleted(StepCompleted report)
    {
        if (!IsBearable(report)) return;
        // A rank that runs again what is committed comes on, too.
        if (report.Step > _progress.CompletedBy(report.Rank)) Moved();
        Commit(_progress.Enter(report));
    }

    private void Commit(IReadOnlyList<IReadOnlyList<StepCompleted>> committed)
    {
        foreach (var reports in committed)
        {
            _rebalance.Enter(reports);
            _compression?.Enter([.. reports.Where(report => report.Rank < _ranks.ReplicaRankCount)]);
            _told.Enqueue((reports[0].Step, Math.Min(_progress.EvaluatedThrough, _early.Keys.FirstOrDefault(long.MaxValue) - 1)));
            _observer.Tell(new RunNotice.StepCommitted(SummaryOf(reports)));
            if (_early.Remove(reports[0].Step, out var evaluated)) _observer.Tell(evaluated);
            WatchSaves(reports[0].Step);
        }

        if (committed.Count == 0) return;
        Moved();
        ReportRecovered();
        if (!IsProtected) _announcedProtection = Math.Max(_announcedProtection, _progress.Committed);
        else AnnounceProtection();
        ConsiderCompression();
        ConsiderReplicas();
        ConsiderRebalance();
        ConsiderRelief();
        Advance();
    }

    private StepSummary SummaryOf(IReadOnlyList<StepCompleted> reports)
    {
        var summary = StepSummary.Of(reports, _ranks.RankCount, _ranks.ReplicaRankCount, _ranks.Generation);
        return summary with { IsClipped = _progress.Plan.Clips(summary.Step, summary.GradientNorm) };
    }

    private void OnStepRecorded(StepRecorded recorded)
    {
        while (_told.TryPeek(out var told) && told.Step <= recorded.Step) _recorded = _told.Dequeue();
    }

    private void OnEvaluated(HeldOutEvaluated evaluated)
    {
        if (!_progress.Enter(evaluated)) return;
        Moved();
        if (evaluated.TokenCount > 0) Tell(new RunNotice.Evaluated(evaluated.AfterStep, evaluated.LossSum / evaluated.TokenCount, evaluated.TokenCount));
        Advance();
    }

    /// <summary>An evaluation is told after its step, also where the last rank speaks of it before another one has spoken of the step.</summary>
    private void Tell(RunNotice.Evaluated evaluated)
    {
        if (evaluated.AfterStep > _progress.Committed) _early[evaluated.AfterStep] = evaluated;
        else _observer.Tell(evaluated);
    }

    private void OnCopyStored(CopyStored stored)
    {
        if (stored.Holder is { } holder && _nodes[holder] is null) return;
        if (_copies.Enter(stored.Rank, stored.Step, stored.Holder ?? default)) Moved();
        AnnounceProtection();
        TryMove();
    }

    /// <summary>
    /// Ranks forget what leads to a step that is not committed only once it is: its reports might still be lost, and it would have to be run again. Nor
    /// while a rank that replays has not come so far: its own copies may be its predecessor's.
    /// </summary>
    private void AnnounceProtection()
    {
        if (_copies.ProtectedStep <= _announcedProtection || _copies.ProtectedStep > _progress.Committed) return;
        if (Enumerable.Range(0, _ranks.RankCount).Any(rank => _progress.CompletedBy(rank) < _copies.ProtectedStep)) return;
        _announcedProtection = _copies.ProtectedStep;
        SendGrants();
    }

    private void OnStopWanted()
    {
        if (!_hasBegun)
        {
            End(new RunOutcome(RunEnd.Stopped, _progress.Committed));
            return;
        }

        if (!_progress.WantStop()) return;
        _tellsStop = true;
        SendGrants();
        // The step under way is the last; after which one that is at the latest is known once the ranks have said which they have begun.
        Hold();
        Advance();
    }

    private void OnStageFailed(StageFailed failure)
    {
        if (failure.Kind == StageFailureKind.CopyMissing)
        {
            OnCopyMissing(failure);
            return;
        }

        _observer.Tell(new RunNotice.StageFailed(failure));
        GatherFlights(failure.Message);
        End(new RunOutcome(RunEnd.Failed, _progress.Committed, failure.Message, failure));
    }

    private void OnObserverLost()
    {
        _isObserverLost = true;
        End(Failed("The observer of the run failed."));
    }

    private void Advance()
    {
        // While ranks are on the move nobody would hear it; it is said once all take inputs again.
        if (!_hasBegun || _outcome is not null || !IsSettled) return;
        // While ranks are asked to hold, what is granted would not be heeded.
        foreach (var directive in _hold.IsAsking ? [] : _progress.Next())
        {
            if (directive is StageDirective.Save save) Save(save.Step);
            else if (directive is StageDirective.Grant grant) SendGrants(grant.ThroughStep);
        }

        if (_progress.Assured > _assured) SendGrants();

        // Also where no grant leads there: after a stop, or when the last save was given up for a recovery.
        if (_progress is { Saves: true, IsAtEnd: true } && _saving.LastIssued != _progress.EndStep) Save(_progress.EndStep);
        TryMove();
        if (_progress.IsDone && (!_progress.Saves || _saving.LastSaved == _progress.EndStep)) End(_progress.Outcome);
    }

    /// <summary>Says to all ranks how far they may go.</summary>
    /// <param name="through">No further, since something is to be told before; null for as far as is granted.</param>
    private void SendGrants(long? through = null)
    {
        _assured = _progress.Assured;
        for (var rank = 0; rank < _ranks.RankCount; rank++) SendGrant(rank, through);
    }

    /// <summary>How far a rank may go: a level, which a later message repeats or raises.</summary>
    private void SendGrant(int rank, long? through = null)
    {
        if (!_hasBegun || !IsSettled || _ranks.Unready.Contains(rank)) return;
        _ranks.Refs[rank].Tell(new GrantSteps(
            _ranks.Generation, through ?? _progress.Granted, _recorded.Step, _recorded.EvaluatedThrough, _announcedProtection, _hold.GrantNumber, _progress.Assured, _copyStep));
        if (_progress.IsStopWanted) _ranks.Refs[rank].Tell(new EndAfterStep(_ranks.Generation));
    }

    private string Phase => !_hasBegun ? "preparing" : _progress.IsStopWanted ? "stopping"
        : _progress.IsPaused ? _progress.Committed == _progress.Granted ? "paused" : "pausing"
        : _ranks.Unready.Count > 0 || !IsSettled ? "recovering" : "running";

    private RunStatus Status(string phase) => new(
        _ranks.Generation, _progress.Committed, _progress.Granted, _announcedProtection,
        [.. _ranks.Places.Select((place, rank) => new RankStatus(rank, place.Node, place.Holder?.Node, _ranks.UnitCountOf(rank), _progress.CompletedBy(rank), !_ranks.Unready.Contains(rank)))],
        _nodes.Alive, phase, _progress.EndStep, _ranks.Mesh.IsEven ? _ranks.Schedule : "", _run.UnitNames,
        _ranks.Mesh.IsEven ? null : [.. _ranks.Mesh.Replicas.Select(replica => Schedules.ScheduleText.Format(replica.Schedule))]);
}
