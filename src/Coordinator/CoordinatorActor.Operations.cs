using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// What an operator may do to a run under way. Nothing here changes what a step computes: pauses and moves happen between steps, a restart is
/// a loss like any other.
/// </summary>
public sealed partial class CoordinatorActor
{
    private readonly List<(long Step, IActorRef Asker)> _awaitedSaves = [];

    private void ReceiveOperations()
    {
        Receive<PauseRun>(_ => OnPause());
        Receive<ResumeRun>(_ => OnResume());
        Receive<SaveNow>(_ => OnSaveNow());
        Receive<StopRunNow>(_ => OnStopNow());
        Receive<MoveRank>(OnMoveRank);
        Receive<MoveUnit>(OnMoveUnit);
        Receive<RestartRank>(OnRestartRank);
        Receive<CordonNode>(OnCordon);
        Receive<ChangeSetting>(OnChange);
    }

    private void ReceiveRecords()
    {
        Receive<RecordNotice>(record => _observer.Tell(record.Notice));
        Receive<IOperation>(_ => Answer(false, "The run is not under way: it waits for its nodes, or ends. `status` says which."));
    }

    private void OnPause()
    {
        if (_progress.IsStopWanted)
        {
            Answer(false, "The run is stopping; there is nothing to pause.");
            return;
        }

        _tellsPause |= !_progress.IsPaused;
        _progress.IsPaused = true;
        if (IsReachable) _pausing.Add(Sender);
        else Answer(true, "The run pauses as soon as all ranks are there again. `resume` goes on.");
        // Also for a planned move: the step that it waits for may never be granted now.
        Hold();
    }

    /// <summary>The run stands after a step, or will: nobody begins a further one.</summary>
    private void AnswerPauses()
    {
        if (_progress.IsPaused && _tellsPause) _observer.Tell(new RunNotice.Paused(_progress.Granted));
        _tellsPause = false;
        var sentence = !_progress.IsPaused ? "The run was resumed meanwhile."
            : _progress.Committed == _progress.Granted ? $"The run is paused after step {_progress.Granted}. `resume` goes on."
            : $"The run pauses after step {_progress.Granted}, the last one that a rank has begun; {_progress.Committed} is committed. `resume` goes on.";
        foreach (var asker in _pausing) asker.Tell(new OperationResult(true, sentence));
        _pausing.Clear();
    }

    private void OnResume()
    {
        if (!_progress.IsPaused)
        {
            Answer(true, "The run is not paused.");
            return;
        }

        _progress.IsPaused = false;
        _observer.Tell(new RunNotice.Resumed(_progress.Committed));
        Answer(true, $"The run goes on after step {_progress.Granted}.");
        WatchProgress();
        // Where a planned move is to be made depends on whether the run stands.
        if (_move is not null) Hold();
        else Advance();
    }

    private void OnSaveNow()
    {
        if (!_progress.Saves || _run.Keeper is null) Answer(false, "The run keeps no checkpoints. Start it with checkpoints.");
        else if (!IsReachable) Answer(false, "The run is recovering. Try again in a few seconds.");
        else
        {
            _savingNow.Add(Sender);
            Hold();
        }
    }

    /// <summary>No rank is past the last granted step, so that its state can still be had. A save that was given up for a recovery is awaited at this one, too.</summary>
    private void SaveAsAsked()
    {
        var step = _progress.Granted;
        var asking = _savingNow.Concat(_awaitedSaves.Where(awaited => awaited.Step > _saving.LastSaved && _saving.Open.All(attempt => attempt.Step != awaited.Step)).Select(awaited => awaited.Asker)).ToArray();
        _awaitedSaves.RemoveAll(awaited => asking.Contains(awaited.Asker));
        _savingNow.Clear();
        foreach (var asker in asking)
        {
            if (_saving.LastSaved == step) asker.Tell(new OperationResult(true, $"The state after step {step} is saved already."));
            else _awaitedSaves.Add((step, asker));
        }

        if (_awaitedSaves.Any(awaited => awaited.Step == step) && step < _progress.EndStep && _saving.LastIssued != step) Save(step);
    }

    private void AnswerSaves(long step, bool isDone, string sentence)
    {
        foreach (var (_, asker) in _awaitedSaves.Where(awaited => awaited.Step == step)) asker.Tell(new OperationResult(isDone, sentence));
        _awaitedSaves.RemoveAll(awaited => awaited.Step == step);
    }

    /// <summary>Nothing is saved any more: the run may have ended before the step that was to be saved, or before all ranks had written it.</summary>
    private void RefuseSaves()
    {
        foreach (var step in _awaitedSaves.Select(awaited => awaited.Step).Distinct().ToArray())
            AnswerSaves(step, false, $"The run ended after step {_progress.Committed}, before the state after step {step} was saved. Its newest checkpoint is that of step {_saving.LastSaved}.");
    }

    private void OnStopNow()
    {
        Answer(true, $"The run ends at once; its newest checkpoint is that of step {_saving.LastSaved}.");
        End(new RunOutcome(RunEnd.Stopped, _progress.Committed));
    }

    private void OnMoveRank(MoveRank move)
    {
        if (!IsRankOfNodes(move.Rank)) return;
        if (_nodes[move.Node] is not { } node) Answer(false, $"There is no node {move.Node}. `nodes` names those that are there.");
        else if (!node.Roles.Contains(NodeInfo.StageRole)) Answer(false, $"The node {move.Node} does not have the role '{NodeInfo.StageRole}'. `nodes` says who has.");
        else if (_ranks.Places[move.Rank].Node == move.Node) Answer(true, $"Rank {move.Rank} is there already.");
        else Plan(new PlannedMove(Sender) { Wanted = move });
    }

    /// <summary>The stages of all replicas change alike, so that any of them may be the one that is there.</summary>
    private void OnMoveUnit(MoveUnit move)
    {
        var unit = _run.UnitNames.Index().Where(known => known.Item == move.Unit).Select(known => known.Index).FirstOrDefault(-1);
        if (!_ranks.Mesh.IsEven) Answer(false, "The replicas of the run have stages of their own, so that a unit would change its place in one of them alone, which cannot be done under way. `move RANK NODE` moves a rank as a whole.");
        else if (_run.Stages is not null || _run.DivisionFor is null) Answer(false, "The run has one process: its units are all in it. Start it with --processes to spread it.");
        else if (unit < 0) Answer(false, $"There is no unit '{move.Unit}'. Expected one of {string.Join(", ", _run.UnitNames)}.");
        else if (_nodes[move.Node] is null) Answer(false, $"There is no node {move.Node}. `nodes` names those that are there.");
        else if (_run.Keeper is null && !IsProtected) Answer(false, "Units change hands by way of copies or checkpoints, and the run keeps neither. Start it with checkpoints, or with protection.kind = memory.");
        else GiveUnit(unit, move, _run.DivisionFor);
    }

    private void GiveUnit(int unit, MoveUnit move, Func<int, IReadOnlyList<int>, UnitDivision?> divisionFor)
    {
        var (found, refusal) = UnitMove.Decide(unit, _run.UnitNames, _ranks.UnitCounts, stage => IsStageOn(stage, move.Node));
        if (found is null) Answer(false, refusal);
        else if (divisionFor(_ranks.ReplicaCount, found.UnitCounts) is not { } division) Answer(false, $"The schedule of the run cannot be had for stages of {string.Join(", ", found.UnitCounts)} units.");
        else if (Placement.Overload(_nodes.Alive, [.. _ranks.Places.Select(place => place.Node)], division.RankBytes) is { } overload) Answer(false, overload);
        else Plan(new PlannedMove(Sender) { Division = division, Unit = move.Unit });
    }

    private bool IsStageOn(int stage, NodeId node) =>
        Enumerable.Range(0, _ranks.ReplicaCount).Any(replica => _ranks.Places[_ranks.Mesh.RankOf(replica, stage)].Node == node);

    private void OnRestartRank(RestartRank restart)
    {
        if (!IsRankOfNodes(restart.Rank)) return;
        if (!_hasBegun || _ranks.Unready.Count > 0 || !IsSettled)
        {
            Answer(false, "The run is recovering. Try again in a few seconds.");
            return;
        }

        Recover($"an operator has rank {restart.Rank} restarted", [restart.Rank]);
        Answer(true, $"Rank {restart.Rank} begins anew in generation {_ranks.Generation.Number}.");
    }

    private void OnCordon(CordonNode cordon)
    {
        if (_nodes[cordon.Node] is null) Answer(false, $"There is no node {cordon.Node}. `nodes` names those that are there.");
        else if (_nodes.Cordon(cordon.Node, cordon.IsCordoned))
        {
            _mayResize = true;
            Answer(true, cordon.IsCordoned ? "The node takes no further ranks; those that it has stay." : "The node takes ranks again.");
        }
        else Answer(true, cordon.IsCordoned ? "The node was cordoned already." : "The node was not cordoned.");
    }

    private void OnChange(ChangeSetting change)
    {
        if (SettingFault.Of(change, Scope()) is { } fault) Answer(false, fault);
        else Plan(new PlannedMove(Sender) { Change = change });
    }

    private ChangeScope Scope() => new(
        _progress, _run.Stages is null, Protection, StageNodeCount, _ranks.ReplicaCount, _run.Compression, _compression is not null && !IsTrialDecided);

    /// <summary>
    /// All ranks hear of it in a new generation, in which alone the steps are granted that it holds for. Copies that go elsewhere from then on get
    /// their holders with it; those that there are stay where they are until newer ones have come.
    /// </summary>
    private void Apply(ChangeSetting change, long step)
    {
        SettingChange changed = new(step + 1, change.Setting, change.Value);
        _progress.Change(changed);
        _ranks.Cadence = _progress.Plan.Cadence;
        NextGeneration();
        if (change.Setting == SettingKind.ProtectionKind) FindHolders();
        _observer.Tell(new RunNotice.SettingChanged(changed));
        Decide(() =>
        {
            _assignedNow.Clear();
            RegenerateOthers();
            WatchProgress();
        });
    }

    /// <summary>Ranks stay where they are. Where there is nobody to hold their copies, they go on without.</summary>
    private void FindHolders()
    {
        if (Protection.Kind == ProtectionKind.Memory && PlacementFor([]) is { } placement) Place(placement, []);
        else _ranks.Place([.. _ranks.Places.Select(place => place with { Holder = null })], _ranks.Refs);
    }

    private bool IsRankOfNodes(int rank)
    {
        if (_run.Stages is not null) Answer(false, "The run has one process: its stages are all in it. Start it with --processes to spread it.");
        else if ((uint)rank >= (uint)_ranks.RankCount) Answer(false, $"There is no rank {rank}. Expected 0 to {_ranks.RankCount - 1}.");
        else return true;
        return false;
    }

    private void Answer(bool isDone, string sentence) => Sender.Tell(new OperationResult(isDone, sentence));
}
