using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Units and ranks that change places on purpose. Grants end at a step; once all ranks have completed it and its state is to be had, the
/// move is a recovery that loses nothing.
/// </summary>
public sealed partial class CoordinatorActor
{
    private readonly Dictionary<int, NodeId> _wanted = [];
    private readonly HashSet<(int Rank, NodeId Node)> _relieved = [];
    private PlannedMove? _move;
    // The last step after which copies were asked for.
    private long _copyStep;

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
        Plan(new PlannedMove(Sender) { Drained = drain.Node });
    }

    /// <summary>
    /// A successor that holds ranks hands them to spares, so that its own death costs no step either. Each is tried once: a move that cannot be made must not hold
    /// the run up again and again.
    /// </summary>
    private void ConsiderRelief()
    {
        if (!_run.Recovery.RelievesLeader || _run.Predecessor is null || _run.Home is not { } home || !IsProtected) return;
        if (_move is not null || _outcome is not null || _ranks.Unready.Count > 0 || !IsSettled || _progress.IsPaused || _progress.IsStopWanted) return;
        if (LeaderRelief.Decide(home, _nodes.Usable, [.. _ranks.Places.Select(place => place.Node)], _ranks.RankBytes, _relieved) is not { } relief) return;
        _relieved.Add((relief.Rank, relief.Node));
        Plan(new PlannedMove(ActorRefs.Nobody) { Wanted = relief, IsRelief = true });
    }

    private void Plan(PlannedMove move)
    {
        // What an operator, or a node that leaves, wants is not to wait for what nobody asked for.
        if (_move is { IsRelief: true }) (_move, _progress.Limit) = (null, long.MaxValue);
        if (_progress.IsStopWanted || !_hasBegun || _move is not null)
        {
            move.Refuse(_ranks.UnitCounts, _progress.Committed, !_hasBegun ? "The run has not begun yet." : _move is null ? "The run is stopping." : "Something is being moved already.");
            return;
        }

        _move = move;
        Hold();
    }

    /// <summary>No rank is past the last granted step, so that its state can be had: it is asked for if nobody has it yet.</summary>
    private void SetBoundary(PlannedMove move)
    {
        var boundary = _progress.Granted;
        (move.Boundary, _progress.Limit) = (boundary, boundary);
        if (move.Change is null && !IsStateAtHand(boundary) && boundary < _progress.EndStep) OrderState(boundary);
        Advance();
    }

    private void OrderState(long step)
    {
        if (IsProtected)
        {
            _copyStep = step;
            SendGrants();
        }
        else if (_saving.LastIssued != step)
        {
            Save(step);
        }
    }

    private void TryMove()
    {
        if (_move is not { } move || _outcome is not null || _ranks.Unready.Count > 0) return;
        if (FaultOf(move) is { } fault)
        {
            _move = null;
            _progress.Limit = long.MaxValue;
            move.Refuse(_ranks.UnitCounts, _progress.Committed, fault);
            Advance();
            return;
        }

        if (move.Boundary is not { } boundary) return;
        var isSettled = _progress.Committed == boundary && _progress.Granted == boundary && _progress.IsEvaluated && !_saving.IsSaving;
        if (!isSettled || !(move.Change is not null || IsStateAtHand(boundary) || IsReplayable(move))) return;
        _move = null;
        _progress.Limit = long.MaxValue;
        if (move.Change is { } change) Apply(change, boundary);
        else if (move.Division is { } division) Divide(division, boundary);
        else if (move.Wanted is { } wanted) PutOn(wanted, move.IsRelief ? LeaderRelief.Reason : "an operator moves");
        else Recover($"{move.Drained} is being left", _ranks.On(move.Drained!.Value));
        if (_outcome is null) move.Done(_ranks.UnitCounts, boundary);
        else move.Refuse(_ranks.UnitCounts, _progress.Committed, _outcome.Error ?? "");
    }

    /// <summary>A run that stands only for a move whose state does not come goes on without it.</summary>
    private bool GivesMoveUp()
    {
        if (_move is not { Boundary: { } boundary } move || _progress.Committed != boundary || _progress.Granted != boundary || !_progress.IsEvaluated || !IsReachable || _hold.IsAsking) return false;
        _move = null;
        _progress.Limit = long.MaxValue;
        _standstill.Moved();
        move.Refuse(_ranks.UnitCounts, _progress.Committed, $"The state after step {boundary} did not arrive where it is kept, although it was sent again. Nothing was moved, and the run goes on; look at the links and at the memory of the nodes, and try again.");
        Advance();
        return true;
    }

    /// <summary>Why a move cannot be made any more, as a sentence; null if it can.</summary>
    private string? FaultOf(PlannedMove move)
    {
        if (move.Boundary >= _progress.EndStep || _progress.IsStopWanted) return "The run ends before that could be done.";
        if (move.Wanted is { } wanted && _nodes[wanted.Node] is null) return $"The node {wanted.Node} was lost before that could be done. `nodes` names those that are there.";
        return move is { Boundary: { } boundary, Change: { } change } && SettingFault.OfBoundary(change, boundary) is { } fault ? fault : null;
    }

    private bool IsStateAtHand(long step) => step == _ranks.Base.Step || _saving.LastSaved == step || IsCopied(step);

    private bool IsCopied(long step) => IsProtected && Enumerable.Range(0, _ranks.RankCount).All(rank => _copies.HolderOf(rank, step) is not null);

    /// <summary>Of a paused run, ranks that keep their units may start from an older copy: what they run again, the others have kept.</summary>
    private bool IsReplayable(PlannedMove move) => IsProtected && _progress.IsPaused && move.Division is null;

    /// <summary>A rank goes to the node that was named for it. The reason is the beginning of a sentence.</summary>
    private void PutOn(MoveRank wanted, string reason)
    {
        _wanted[wanted.Rank] = wanted.Node;
        Recover($"{reason} rank {wanted.Rank} to {wanted.Node}", [wanted.Rank]);
        _wanted.Clear();
    }

    /// <summary>All ranks become others: each takes its tensors by name from the copies or the checkpoint of the boundary.</summary>
    private void Divide(UnitDivision division, long step)
    {
        var start = step == _ranks.Base.Step ? _ranks.Base : IsCopied(step) ? FromCopies(step) : StartingPoint.Checkpoint(step);
        var former = _ranks.ReplicaCount;
        if (!Spread(division, start)) return;
        if (_ranks.ReplicaCount == former) _observer.Tell(new RunNotice.UnitsMoved(step, division.UnitCounts));
        else TellReplicas(former, step, _ranks.ReplicaCount > former ? "there is room for more" : "there is no room for all");
    }

    private CopySource SourceOf(int rank, NodeId holder, long step) =>
        new(new CopyId(_run.Run, _ranks.PartitionedIn, rank, step), holder == default ? null : HolderOf(holder));

    /// <summary>A move that waits for its step: one of its kinds is set.</summary>
    /// <param name="requester">Who is told.</param>
    private sealed class PlannedMove(IActorRef requester)
    {
        /// <summary>The node to leave.</summary>
        internal NodeId? Drained { get; init; }

        /// <summary>The division to make.</summary>
        internal UnitDivision? Division { get; init; }

        /// <summary>The unit for whose sake the division is made; null for another reason.</summary>
        internal string? Unit { get; init; }

        /// <summary>The rank to put elsewhere.</summary>
        internal MoveRank? Wanted { get; init; }

        /// <summary>Whether it is put there for the leader's sake only.</summary>
        internal bool IsRelief { get; init; }

        /// <summary>The setting to change.</summary>
        internal ChangeSetting? Change { get; init; }

        /// <summary>The step at whose end it is made; null until it is known.</summary>
        internal long? Boundary { get; set; }

        internal void Done(IReadOnlyList<int> unitCounts, long step)
        {
            if (Change is not null) requester.Tell(new OperationResult(true, $"It holds from step {step + 1} on."));
            else if (Wanted is { } put) requester.Tell(new OperationResult(true, $"Rank {put.Rank} goes on at {put.Node} from the end of step {step} on."));
            else if (Drained is { } node) requester.Tell(new NodeDrained(node, null));
            else if (Unit is { } unit) requester.Tell(new OperationResult(true, $"Unit {unit} has changed its stage at the end of step {step}: the stages have {string.Join(" + ", unitCounts)} units now."));
            else requester.Tell(new Rebalanced(unitCounts, step, null));
        }

        internal void Refuse(IReadOnlyList<int> unitCounts, long step, string why)
        {
            if (Wanted is not null || Change is not null || Unit is not null) requester.Tell(new OperationResult(false, why));
            else if (Drained is { } node) requester.Tell(new NodeDrained(node, why));
            else requester.Tell(new Rebalanced(unitCounts, step, why));
        }
    }
}
