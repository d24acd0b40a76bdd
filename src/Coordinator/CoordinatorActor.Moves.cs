using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Units and ranks that change places on purpose. Grants end at a step; once all ranks have completed it and its state is to be had, the
/// move is a recovery that loses nothing.
/// </summary>
public sealed partial class CoordinatorActor
{
    private PlannedMove? _move;

    private void ReceiveMoves()
    {
        Receive<DrainNode>(OnDrain);
        Receive<Rebalance>(_ => OnRebalance());
    }

    private void OnDrain(DrainNode drain)
    {
        if (_nodes[drain.Node] is null)
        {
            Sender.Tell(new NodeDrained(drain.Node, null));
            return;
        }

        if (!_nodes.Usable.Any(node => node.Id != drain.Node && node.Roles.Contains(NodeInfo.StageRole)))
        {
            Sender.Tell(new NodeDrained(drain.Node, "No other node is there to take its stages."));
            return;
        }

        _nodes.Drain(drain.Node);
        Plan(new PlannedMove(Sender, drain.Node, null));
    }

    private void OnRebalance()
    {
        if (!_hasBegun || _run.Repartition is not { } divide || divide(_ranks.UnitCounts, _busySeconds) is not { } division)
        {
            Sender.Tell(new Rebalanced(_ranks.UnitCounts, _progress.Committed, "The units cannot be divided better by what has been measured so far."));
            return;
        }

        if (division.UnitCounts.SequenceEqual(_ranks.UnitCounts))
        {
            Sender.Tell(new Rebalanced(_ranks.UnitCounts, _progress.Committed, "The units are divided as well as can be already."));
            return;
        }

        Plan(new PlannedMove(Sender, null, division));
    }

    private void Plan(PlannedMove move)
    {
        if (_progress.IsStopWanted || !_hasBegun || _move is not null)
        {
            move.Refuse(_ranks.UnitCounts, _progress.Committed, !_hasBegun ? "The run has not begun yet." : _move is null ? "The run is stopping." : "Something is being moved already.");
            return;
        }

        _move = move;
        SetBoundary(move);
        TryMove();
    }

    /// <summary>Copies are taken at certain steps only; a checkpoint can be had at any.</summary>
    private void SetBoundary(PlannedMove move)
    {
        var every = IsProtected ? _run.Protection.Every : 1;
        move.Boundary = (_progress.Granted + every - 1) / every * every;
        _progress.Limit = move.Boundary;
        if (!IsProtected && _progress.Granted > _ranks.Base.Step && _progress.Granted < _progress.EndStep) Save(move.Boundary);
        Advance();
    }

    private void TryMove()
    {
        if (_move is not { } move || _outcome is not null || _ranks.Unready.Count > 0) return;
        if (move.Boundary >= _progress.EndStep || _progress.IsStopWanted)
        {
            _move = null;
            _progress.Limit = long.MaxValue;
            move.Refuse(_ranks.UnitCounts, _progress.Committed, "The run ends before anything could be moved.");
            return;
        }

        var isSettled = _progress.Committed == move.Boundary && _progress.Granted == move.Boundary && _progress.IsEvaluated && !_saving.IsSaving;
        if (!isSettled || !IsStateAtHand(move.Boundary)) return;
        _move = null;
        _progress.Limit = long.MaxValue;
        if (move.Division is { } division) Divide(division, move.Boundary);
        else Recover($"{move.Drained} is being left", _ranks.On(move.Drained!.Value));
        if (_outcome is null) move.Done(_ranks.UnitCounts, move.Boundary);
        else move.Refuse(_ranks.UnitCounts, _progress.Committed, _outcome.Error ?? "");
    }

    private bool IsStateAtHand(long step) => step == _ranks.Base.Step
        || (!IsProtected ? _saving.LastSaved == step : Enumerable.Range(0, _run.RankCount).All(rank => _copies.HolderOf(rank, step) is not null));

    /// <summary>All ranks become others: each takes its tensors by name from the copies or the checkpoint of the boundary.</summary>
    private void Divide((IReadOnlyList<int> UnitCounts, string Schedule) division, long step)
    {
        var start = step == _ranks.Base.Step ? _ranks.Base
            : !IsProtected ? StartingPoint.Checkpoint(step)
            : new StartingPoint(StartKind.Copies, step, [.. Enumerable.Range(0, _run.RankCount).Select(rank => SourceOf(rank, step))]);
        _saving.Abandon();
        _ranks.Generation = _ranks.Generation.Next();
        _ranks.Divide(division.UnitCounts, division.Schedule);
        _ranks.Base = start;
        if (!TryPlace([])) return;
        _observer.Tell(new RunNotice.UnitsMoved(step, division.UnitCounts));
        Reset();
        _toAssign.UnionWith(Enumerable.Range(0, _run.RankCount));
        Decide(() =>
        {
            _assignedNow.Clear();
            _toAssign.Clear();
            AssignAll(_ranks.Base);
            WatchProgress();
        });
    }

    private CopySource SourceOf(int rank, long step)
    {
        var holder = _copies.HolderOf(rank, step)!.Value;
        return new CopySource(new CopyId(_run.Run, _ranks.PartitionedIn, rank, step), holder == default ? null : HolderOf(holder));
    }

    /// <summary>A move that waits for its step.</summary>
    /// <param name="requester">Who is told.</param>
    /// <param name="drained">The node to leave; null for a division.</param>
    /// <param name="division">The division to make; null for a drain.</param>
    private sealed class PlannedMove(IActorRef requester, NodeId? drained, (IReadOnlyList<int> UnitCounts, string Schedule)? division)
    {
        internal NodeId? Drained => drained;

        internal (IReadOnlyList<int> UnitCounts, string Schedule)? Division => division;

        internal long Boundary { get; set; }

        internal void Done(IReadOnlyList<int> unitCounts, long step)
        {
            if (drained is { } node) requester.Tell(new NodeDrained(node, null));
            else requester.Tell(new Rebalanced(unitCounts, step, null));
        }

        internal void Refuse(IReadOnlyList<int> unitCounts, long step, string why)
        {
            if (drained is { } node) requester.Tell(new NodeDrained(node, why));
            else requester.Tell(new Rebalanced(unitCounts, step, why));
        }
    }
}
