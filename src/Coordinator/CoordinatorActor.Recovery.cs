using Akka.Actor;
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
    // Lost ranks of a decision that is being written down: a further loss meanwhile includes them.
    private readonly HashSet<int> _toAssign = [];
    private RecoveryEpisode? _episode;
    private Action? _decided;
    private Task _lastDecision = Task.CompletedTask;

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
        _mayResize = true;
        _observer.Tell(new RunNotice.NodeJoined(node));
        if (_ranks.Places.Count == 0)
        {
            OnGathered(node);
            return;
        }

        // The node beats to whom it has heard of. A run that had nobody to hold copies gets them held now.
        Ask(node);
        if (Protection.Kind == ProtectionKind.Memory && _ranks.Places.Any(place => place.Holder is null)) Recover("a node has joined that can hold copies", []);
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
        if (_nodes[node] is not { } info)
        {
            // One that a predecessor knew: nothing is to be waited for from it.
            _nodes.Shut(node, reason);
            TryTakeOver();
            return;
        }

        _nodes.Lose(node, reason);
        _standstill.Lose();
        _mayResize = true;
        Timers.Cancel(node);
        _copies.Lose(node);
        _standing.Remove(node);
        _observer.Tell(new RunNotice.NodeLost(info, reason));
        _run.Down(node, reason);
        if (_ranks.Places.Count == 0)
        {
            TryTakeOver();
            return;
        }

        var lost = _ranks.On(node);
        if (lost.Count > 0) GatherFlights($"{info.HostName} ({node}): {reason}");
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
        if (ReferenceEquals(_ranks.Starts[failure.Rank], _ranks.Base)) _ranks.IsBaseGone = true;
        foreach (var source in _ranks.Starts[failure.Rank].Copies)
        {
            if (source.Holder is { } holder) _copies.Lose(source.Copy.Rank, holder.Node);
        }

        Recover(failure.Message, [failure.Rank]);
    }

    /// <summary>
    /// The generation rises and is written down; then ranks that have lost their state are assigned anew, and once they take inputs, the
    /// others are told to say again what may have been lost.
    /// </summary>
    private void Recover(string reason, IReadOnlyList<int> lostRanks)
    {
        var lost = lostRanks.Concat(_toAssign).Concat(_ranks.Unassigned).Concat(_ranks.Unready.Where(IsSourceLost)).Distinct().Order().ToArray();
        var plan = RecoveryPlan.For(ReportOf(lost));
        if (lost.Length > 0 && WithFewerReplicas(plan, lostRanks) is var (division, start))
        {
            GoOnWithFewerReplicas(division, start, reason);
            return;
        }

        if (!Fits(lostRanks) && OverFewerRanks() is { } smaller)
        {
            GoOnOverFewerRanks(smaller, reason);
            return;
        }

        _saving.Abandon();
        _rebalance.Restart();
        NextGeneration();
        if (!TryPlace(lostRanks)) return;
        _episode = new RecoveryEpisode(reason, plan, _run.Clock);
        _observer.Tell(new RunNotice.Recovering(_ranks.Generation, reason, plan switch
        {
            RecoveryPlan.Replay => [.. lost.Select(rank => (rank, _ranks.Places[rank].Node))],
            RecoveryPlan.Restart => [.. _ranks.Places.Select((place, rank) => (rank, place.Node))],
            _ => [],
        }));
        _toAssign.UnionWith(lost);
        Decide(() => Execute(plan));
    }

    /// <summary>A rank that was itself replaced has kept, and reports, only what came after the state that it started from.</summary>
    private LossReport ReportOf(int[] lost)
    {
        var starts = Enumerable.Range(0, _ranks.RankCount).Except(lost).Select(rank => _ranks.Starts.TryGetValue(rank, out var start) ? start.Step : 0).ToArray();
        return new LossReport(
            lost, _ranks.RankCount, _copies, starts.Append(_announcedProtection).Max(), _ranks.Base, IsBaseWhole, _saving.LastSaved,
            starts.Any(step => step <= _progress.Committed) ? long.MaxValue : _progress.ReportedThrough, ReachedStep(lost));
    }

    /// <summary>
    /// What every rank that is left has completed: beyond that it may still lack totals, tied gradients, sums and weights that only the lost rank can
    /// send, and one that replays may lack everything.
    /// </summary>
    private long ReachedStep(int[] lost)
    {
        var all = Enumerable.Range(0, _ranks.RankCount);
        return _reached.Of(all.Except(lost), _progress.CompletedBy, all.Max(rank => _copies.StepsOf(rank).Append(_progress.CompletedBy(rank)).Max()));
    }

    private void OnStanding(HostedReport report)
    {
        _standing[report.Node] = report;
        if (_nodes.Alive.All(node => _standing.TryGetValue(node.Id, out var known) && known.Asked == _ranks.Generation))
            _reached.Know(CurrentStanding.SelectMany(known => known.Stages).Select(stage => stage.Step).DefaultIfEmpty(long.MaxValue - 1).Max());
    }

    private bool IsSourceLost(int rank) => _ranks.Starts.TryGetValue(rank, out var start) && start.Copies.Any(source => source.Holder is { } holder && _nodes[holder.Node] is null);

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
            [.. _ranks.Places.Select(place => place.Node)], _ranks.Base, _announcedProtection, _progress.IsStopWanted, _progress.Plan.Changes,
            _ranks.Division.Others, _ranks.MostPerNode, _ranks.Machines, _nonFinite.Failures is { Count: > 0 } failures ? failures : null,
            _hang.Known is { Count: > 0 } hangs ? hangs : null);
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

    private void Execute(RecoveryPlan plan)
    {
        _assignedNow.Clear();
        _toAssign.Clear();
        _episode?.Placed(_run.Clock);
        switch (plan)
        {
            case RecoveryPlan.Replay replay:
                Assign(replay.Starts.ToDictionary(pair => pair.Key, pair => StartOf(pair.Key, pair.Value)));
                foreach (var (rank, start) in replay.Starts) Vouch(rank, start.Step);
                break;
            case RecoveryPlan.Restart restart:
                GiveUpEvaluations(restart.Step);
                _ranks.Base = StartingPoint.Checkpoint(restart.Step) with { Evaluates = _progress.Evaluates(restart.Step) };
                Reset();
                AssignAll(_ranks.Base);
                break;
        }

        ReleaseMoved();
        if (_ranks.IsOpen) RegenerateOthers();
        WatchProgress();
    }

    /// <summary>What a rank reported before the state that it starts from may have been lost with it; evaluations are reported where the last stage is.</summary>
    private void Vouch(int rank, long step)
    {
        if (rank == _ranks.RankOfStage[^1]) GiveUpEvaluations(step);
        _reached.PutBack(rank, _progress.Granted);
        Commit(_progress.Vouch(rank, step));
    }

    /// <summary>Who had the result of one may be lost with it, and with the leader whom it was reported to; the steps before a state from which ranks begin nobody runs again.</summary>
    private void GiveUpEvaluations(long step)
    {
        if (_progress.GiveUpEvaluations(step) is { Count: > 0 } lost)
            Warn("evaluation-lost", lost[^1], $"The held-out loss after step {string.Join(", ", lost)} was lost before it was recorded, and is missing: ranks go on from the state after step {step}.");
    }

    /// <summary>All ranks begin from the base: nothing is protected beyond it, nothing granted.</summary>
    private void Reset()
    {
        _progress.RestartFrom(_ranks.Base.Step, _ranks.RankCount);
        _copyStep = 0;
        // Evaluations after steps that are not committed are run again, and may have another result.
        _early.Clear();
        _nonFinite.RestartFrom(_ranks.Base.Step);
        _unjudged.Clear();
        _reached.Restart();
        _standstill.Lose();
        _copies = new CopyLedger(_ranks.RankCount, _ranks.Base.Step);
        _announcedProtection = _ranks.Base.Step;
    }

    private void ReportRecovered()
    {
        if (_episode is not { IsLoaded: true } episode) return;
        _observer.Tell(new RunNotice.Recovered(_ranks.Generation, episode.Placement, episode.Loading, episode.SinceLoaded(_run.Clock)));
        _episode = null;
    }
}
