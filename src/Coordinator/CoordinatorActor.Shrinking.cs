using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// What follows where the nodes that are left cannot hold the ranks as they are: the units are divided over fewer ranks, which all begin anew from the newest state
/// that is to be had whole. The bits do not depend on the division. There are not more ranks again before the run is resumed.
/// </summary>
public sealed partial class CoordinatorActor
{
    /// <summary>Whether the recovery goes on as planned: not where fewer ranks go on, or none.</summary>
    private bool FitsOrShrinks(string reason, IReadOnlyList<int> lostRanks)
    {
        if (Fits(lostRanks)) return true;
        if (Smaller() is not { } smaller) return TryPlace(lostRanks);
        Shrink(smaller.Division, smaller.RankCount, reason);
        return false;
    }

    /// <summary>The most ranks that fit, with their units.</summary>
    private (UnitDivision Division, int RankCount)? Smaller()
    {
        if (_run.Fewer is not { } fewer || !_hasBegun) return null;
        var replicas = _run.RankCount / _ranks.RanksPerReplica;
        PlaceableNode[] nodes = [.. _nodes.Usable.Select(node => new PlaceableNode(node, node.Id == _run.Home))];
        return Enumerable.Range(1, _ranks.RanksPerReplica - 1).Reverse()
            .SelectMany(ranks => fewer(ranks).Select(division => (Division: division, RankCount: ranks * replicas)))
            .Where(smaller => smaller.Division.RankBytes is { } bytes && Placement.For(nodes, new Dictionary<int, NodeId>(), bytes, new Dictionary<int, NodeId>()) is not null)
            .Select(smaller => ((UnitDivision, int)?)smaller).FirstOrDefault();
    }

    private void Shrink(UnitDivision division, int rankCount, string reason)
    {
        var former = _ranks.Places;
        var start = NewestWhole();
        _progress.GiveUpEvaluations(start.Step);
        _run = _run with { RankCount = rankCount };
        (_rebalance, _reached) = (new RebalanceWatch(_run.Rebalance, rankCount), new ReachedSteps(rankCount));
        _saving.Resize(rankCount);
        _parameterCounts.Clear();
        if (_move is { } move)
        {
            _move = null;
            move.Refuse(division.UnitCounts, _progress.Committed, "The run goes on with fewer stages.");
        }

        _ranks.Divide(division, rankCount);
        _ranks.Base = start with { Evaluates = _progress.Evaluates(start.Step) };
        if (!TryPlace([])) return;
        Reset();
        _episode = null;
        _observer.Tell(new RunNotice.Recovering(_ranks.Generation, $"{reason}; the nodes that are left hold {rankCount} ranks only", [.. _ranks.Places.Select((place, rank) => (rank, place.Node))]));
        _observer.Tell(new RunNotice.UnitsMoved(start.Step, division.UnitCounts));
        _toAssign.Clear();
        _toAssign.UnionWith(Enumerable.Range(0, rankCount));
        Decide(() =>
        {
            _assignedNow.Clear();
            _toAssign.Clear();
            ReleaseMoved(former);
            AssignAll(_ranks.Base);
            WatchProgress();
        });
    }

    /// <summary>The newest committed step whose state can be had of every rank: from copies, whoever holds them, or from the newest checkpoint.</summary>
    private StartingPoint NewestWhole()
    {
        var common = Enumerable.Range(0, _run.RankCount).Select(_copies.StepsOf).Aggregate((one, other) => [.. one.Intersect(other)])
            .Where(step => step <= _progress.Committed && step > _saving.LastSaved).DefaultIfEmpty(_saving.LastSaved).Max();
        return common == _saving.LastSaved
            ? StartingPoint.Checkpoint(common)
            : new StartingPoint(StartKind.Copies, common, [.. Enumerable.Range(0, _run.RankCount).Select(rank => SourceOf(rank, common))]);
    }
}
