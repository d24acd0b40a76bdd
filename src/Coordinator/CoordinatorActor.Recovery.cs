using Akka.Actor;
using Akka.Serialization;
using Pipeline.Protocol;
using static Pipeline.Protocol.NodeProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>The coordinator's handlers for nodes that come and go, and how it carries out a <see cref="RecoveryPlan"/>.</summary>
public sealed partial class CoordinatorActor
{
    private readonly NodeTable _nodes = new();
    private readonly Dictionary<NodeId, HostedReport> _standing = [];
    private readonly HashSet<int> _assignedNow = [];
    private RecoveryEpisode? _episode;
    private Action? _decided;
    private Task _lastDecision = Task.CompletedTask;
    private int _repeats;

    private void ReceiveNodes()
    {
        Receive<NodeJoined>(joined => OnJoined(joined.Node));
        Receive<NodeBeat>(OnBeat);
        Receive<NodeSuspected>(suspected => OnSuspected(suspected.Node, suspected.Reason));
        Receive<NodeLeft>(left => OnSuspected(left.Node, "It has left the cluster."));
        Receive<BeatMissedTick>(missed => OnSuspected(missed.Node, $"It has not been heard of for {_run.Recovery.SuspectAfter.TotalSeconds:0.#} s."));
        Receive<PeerUnreachable>(unreachable => _nodes[unreachable.Node] is not null, unreachable => OnSuspected(unreachable.Suspect, unreachable.Reason));
    }

    private void OnJoined(NodeInfo node)
    {
        if (!_nodes.Add(node)) return;
        Watch(node.Id);
        _observer.Tell(new RunNotice.NodeJoined(node));
        if (_ranks.Places.Count == 0)
        {
            OnGathered(node);
            return;
        }

        // The node beats to whom it has heard of. A run that had nobody to hold copies gets them held now.
        Ask(node);
        if (_run.Protection.Kind == ProtectionKind.Memory && _ranks.Places.Any(place => place.Holder is null)) Recover("a node has joined that can hold copies", []);
    }

    private void OnBeat(NodeBeat beat)
    {
        if (_nodes.IsLost(beat.Node)) Sender.Tell(new Fenced(_run.Run, _ranks.Generation, beat.Node));
        else if (_nodes[beat.Node] is not null) Watch(beat.Node);
    }

    private void Watch(NodeId node)
    {
        if (_run.Recovery.SuspectAfter > TimeSpan.Zero) Timers.StartSingleTimer(node, new BeatMissedTick(node), _run.Recovery.SuspectAfter);
    }

    private void OnSuspected(NodeId node, string reason)
    {
        var info = _nodes[node];
        if (info is null || !_nodes.Lose(node, reason)) return;
        Timers.Cancel(node);
        _copies.Lose(node);
        _standing.Remove(node);
        _observer.Tell(new RunNotice.NodeLost(info, reason));
        _run.Down(node, reason);
        if (_ranks.Places.Count == 0) return;
        var lost = _ranks.On(node);
        if (lost.Count > 0 || _ranks.Places.Any(place => place.Holder?.Node == node)) Recover($"{info.HostName} ({node}): {reason}", lost);
    }

    private void OnStageLost(StageLost lost)
    {
        if (!lost.Stage.Equals(_ranks.Refs[lost.Rank])) return;
        if (_run.Stages is not null) End(Failed($"The actor of rank {lost.Rank} is gone."));
        else if (_nodes[_ranks.Places[lost.Rank].Node] is not null) Recover($"the actor of rank {lost.Rank} is gone", [lost.Rank]);
    }

    private void OnCopyMissing(StageFailed failure)
    {
        foreach (var source in _ranks.Starts[failure.Rank].Copies)
        {
            if (source.Holder is { } holder) _copies.Lose(source.Copy.Rank, holder.Node);
        }

        Recover(failure.Message, [failure.Rank]);
    }

    /// <summary>Something was said that the run waits for.</summary>
    private void Moved()
    {
        _repeats = 0;
        WatchProgress();
    }

    private void WatchProgress()
    {
        if (_run.Recovery.StallAfter <= TimeSpan.Zero || _outcome is not null) return;
        var longest = TimeSpan.FromSeconds(8 * _progress.MedianSeconds);
        Timers.StartSingleTimer("stall", new StallTick(), longest > _run.Recovery.StallAfter ? longest : _run.Recovery.StallAfter);
    }

    private void OnStall()
    {
        WatchProgress();
        var isWaiting = _ranks.Unready.Count > 0 || _progress.Committed < _progress.Granted || !_progress.IsEvaluated || _move is not null;
        if (!isWaiting) return;
        if (++_repeats > _run.Recovery.RepeatLimit)
        {
            End(Failed(StallText.For(_progress, _ranks, _standing.Values)));
            return;
        }

        foreach (var node in _nodes.Alive) Ask(node);
        Recover("nothing has moved", []);
    }

    /// <summary>
    /// The generation rises and is written down; then ranks that have lost their state are assigned anew, and once they take inputs, the
    /// others are told to say again what may have been lost.
    /// </summary>
    private void Recover(string reason, IReadOnlyList<int> lostRanks)
    {
        var lost = lostRanks.Concat(_ranks.Unassigned).Concat(_ranks.Unready.Where(IsSourceLost)).Distinct().Order().ToArray();
        _saving.Abandon();
        var plan = RecoveryPlan.For(new LossReport(
            lost, _run.RankCount, _copies, _announcedProtection, _ranks.Base, _ranks.Base.Copies.All(source => source.Holder is null || _nodes[source.Holder.Node] is not null), _saving.LastSaved));
        _ranks.Generation = _ranks.Generation.Next();
        var former = _ranks.Places;
        if (!TryPlace(lostRanks)) return;
        _episode = new RecoveryEpisode(reason, plan, _run.Clock);
        _observer.Tell(new RunNotice.Recovering(_ranks.Generation, reason, plan switch
        {
            RecoveryPlan.Replay => [.. lost.Select(rank => (rank, _ranks.Places[rank].Node))],
            RecoveryPlan.Restart => [.. _ranks.Places.Select((place, rank) => (rank, place.Node))],
            _ => [],
        }));
        Decide(() => Execute(plan, former));
    }

    private bool IsSourceLost(int rank) => _ranks.Starts.TryGetValue(rank, out var start) && start.Copies.Any(source => source.Holder is { } holder && _nodes[holder.Node] is null);

    /// <summary>Places all ranks anew but those that stay; ends the run where they fit nowhere.</summary>
    private bool TryPlace(IReadOnlyList<int> moved)
    {
        if (_run.Stages is not null) return true;
        var kept = _ranks.Places.Index().Where(place => !moved.Contains(place.Index) && _nodes[place.Item.Node] is not null).ToDictionary(place => place.Index, place => place.Item.Node);
        var holders = _ranks.Places.Index().Where(place => place.Item.Holder is not null).ToDictionary(place => place.Index, place => place.Item.Holder!.Node);
        var bytes = _run.RankBytes.Count == _run.RankCount ? _run.RankBytes : new long[_run.RankCount];
        var placement = Placement.For([.. _nodes.Usable.Select(node => new PlaceableNode(node, node.Id == _run.Home))], kept, bytes, holders);
        if (placement is null)
        {
            End(Failed($"{_run.RankCount - kept.Count} ranks fit on none of the {_nodes.Usable.Count} nodes that are left. Start nodes with the role '{NodeInfo.StageRole}' and resume the run."));
            return false;
        }

        _ranks.Place([.. placement.Nodes.Select((node, rank) => PlaceOf(rank, node, placement.Holders[rank]))], [.. placement.Nodes.Select((node, rank) => Resolve(_nodes[node]!.StagePath(rank)))]);
        return true;
    }

    private RankPlace PlaceOf(int rank, NodeId node, NodeId? holder)
    {
        var info = _nodes[node]!;
        var held = holder is { } id && _run.Protection.Kind == ProtectionKind.Memory ? HolderOf(id) : null;
        return new RankPlace(node, info.StagePath(rank), info.LinkAddress, held);
    }

    private HolderPlace? HolderOf(NodeId id) => _nodes[id] is { } info ? new HolderPlace(id, info.CopyHolderPath, info.LinkAddress) : null;

    /// <summary>For a run whose ranks never move.</summary>
    private void PlaceAt(StageLocator locator)
    {
        var stages = Enumerable.Range(0, _run.RankCount).Select(rank => locator(Context, rank)).ToArray();
        _ranks.Place([.. stages.Select(stage => new RankPlace(new NodeId(stage.Path.Address.ToString(), 0), Serialization.SerializedActorPath(stage), "", null))], stages);
        for (var rank = 0; rank < stages.Length; rank++) Context.WatchWith(stages[rank], new StageLost(rank, stages[rank]));
        AssignAll(_ranks.Base);
    }

    /// <summary>Writes a decision down before anybody hears of it.</summary>
    private void Decide(Action then)
    {
        if (_run.Journal is not { } journal)
        {
            then();
            return;
        }

        _decided = then;
        var entry = new JournalEntry(_run.Run, _ranks.Generation, _ranks.PartitionedIn, _ranks.UnitCounts, _ranks.Schedule,
            [.. _ranks.Places.Select(place => place.Node)], _ranks.Base, _announcedProtection, _progress.IsStopWanted);
        var written = _lastDecision.ContinueWith(_ => journal.Record(entry), TaskScheduler.Default);
        _lastDecision = written;
        _ = written.PipeTo(Self, success: () => new DecisionRecorded(entry.Generation), failure: fault => new DecisionRefused(fault.GetBaseException().Message));
    }

    private void OnDecisionRecorded(DecisionRecorded decision)
    {
        if (decision.Generation != _ranks.Generation || _decided is not { } decided) return;
        _decided = null;
        decided();
    }

    private void Execute(RecoveryPlan plan, IReadOnlyList<RankPlace> former)
    {
        _assignedNow.Clear();
        _episode?.Placed(_run.Clock);
        switch (plan)
        {
            case RecoveryPlan.Replay replay:
                Assign(replay.Starts.ToDictionary(pair => pair.Key, pair => StartOf(pair.Key, pair.Value)));
                foreach (var (rank, start) in replay.Starts) Vouch(rank, start.Step);
                break;
            case RecoveryPlan.Restart restart:
                _progress.GiveUpEvaluations(restart.Step);
                _ranks.Base = StartingPoint.Checkpoint(restart.Step) with { Evaluates = _progress.Evaluates(restart.Step) };
                RestartAll();
                break;
        }

        ReleaseMoved(former);
        if (_ranks.IsOpen) RegenerateOthers();
        WatchProgress();
    }

    /// <summary>What a rank reported before the state that it starts from may have been lost with it.</summary>
    private void Vouch(int rank, long step)
    {
        if (rank == LastStageRank) _progress.GiveUpEvaluations(step);
        Commit(_progress.Vouch(rank, step));
    }

    /// <summary>The rank that reports evaluations.</summary>
    private int LastStageRank => (_ranks.UnitCounts.Count - 1) % _run.RankCount;

    private void RestartAll()
    {
        _progress.RestartFrom(_ranks.Base.Step);
        _copies = new CopyLedger(_run.RankCount, _ranks.Base.Step);
        _announcedProtection = _ranks.Base.Step;
        AssignAll(_ranks.Base);
    }

    private StartingPoint StartOf(int rank, RecoveryPlan.ReplayStart start) => start.IsBase
        ? _ranks.Base
        : new StartingPoint(
            StartKind.Copies,
            start.Step,
            [new CopySource(new CopyId(_run.Run, _ranks.PartitionedIn, rank, start.Step), start.Holder == default ? null : HolderOf(start.Holder))],
            _ranks.Layout.Cadence.EvaluatesAfter(start.Step));

    private void AssignAll(StartingPoint start) => Assign(Enumerable.Range(0, _run.RankCount).ToDictionary(rank => rank, _ => start));

    private void Assign(IReadOnlyDictionary<int, StartingPoint> starts)
    {
        var layout = _ranks.Layout;
        foreach (var (rank, start) in starts)
        {
            _ranks.Assigning(rank, start);
            _assignedNow.Add(rank);
        }

        var assignments = starts.OrderBy(pair => pair.Key).Select(pair => new AssignStage(_ranks.Generation, pair.Key, layout, pair.Value, _run.Recording));
        if (_run.Stages is not null)
        {
            foreach (var assignment in assignments) _ranks.Refs[assignment.Rank].Tell(assignment);
            return;
        }

        foreach (var node in assignments.GroupBy(assignment => _ranks.Places[assignment.Rank].Node))
            Resolve(_nodes[node.Key]!.ActorPath).Tell(new HostStages(_run.Run, _ranks.Generation, [.. node]));
    }

    private void OnAssigned(StageAssigned assigned)
    {
        Moved();
        if (_ranks.Assigned(assigned.Rank)) RegenerateOthers();
    }

    /// <summary>All inboxes are open: the ranks that have kept their state send again, and what was granted holds for all.</summary>
    private void RegenerateOthers()
    {
        var layout = _ranks.Layout;
        var completed = Enumerable.Range(0, _run.RankCount).Select(_progress.CompletedBy).ToArray();
        for (var rank = 0; rank < _run.RankCount; rank++)
        {
            if (!_assignedNow.Contains(rank)) _ranks.Refs[rank].Tell(new Regenerate(_ranks.Generation, rank, layout, completed));
        }

        SendGrants();
        if (_hasBegun && _ranks.Unready.Count == 0) OnAllReady();
    }

    private void ReportRecovered()
    {
        if (_episode is not { IsLoaded: true } episode) return;
        _observer.Tell(new RunNotice.Recovered(_ranks.Generation, episode.Placement, episode.Loading, episode.SinceLoaded(_run.Clock)));
        _episode = null;
    }

    /// <summary>Old hosts of moved ranks that live on need not keep them.</summary>
    private void ReleaseMoved(IReadOnlyList<RankPlace> former)
    {
        foreach (var node in former.Index().Where(place => place.Item.Node != _ranks.Places[place.Index].Node).GroupBy(place => place.Item.Node))
        {
            if (_nodes[node.Key] is { } info) Resolve(info.ActorPath).Tell(new ReleaseStages(_run.Run, _ranks.Generation, [.. node.Select(place => place.Index)]));
        }
    }

    private void Release()
    {
        foreach (var node in _nodes.Alive) Resolve(node.ActorPath).Tell(new ReleaseStages(_run.Run, _ranks.Generation, []));
    }

    private void Ask(NodeInfo node) => Resolve(node.ActorPath).Tell(new ReportHosted(_run.Run, _ranks.Generation));

    private static IActorRef Resolve(string path) => ((ExtendedActorSystem)Context.System).Provider.ResolveActorRef(path);
}
