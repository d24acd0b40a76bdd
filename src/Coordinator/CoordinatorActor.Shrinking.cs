using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// What follows where the nodes that are left cannot hold the ranks as they are: the units are divided over fewer ranks, which all begin anew from the newest state
/// that is to be had whole. The bits do not depend on the division. There are not more ranks again before the run is resumed.
/// </summary>
public sealed partial class CoordinatorActor
{
    /// <summary>The most replicas, and of these the most ranks, that fit; null where there are none, or where the number of ranks stays what it is.</summary>
    private UnitDivision? OverFewerRanks()
    {
        if (_run.DivideOver is not { } divideOver || !_hasBegun) return null;
        var least = _run.Elastic is null ? _ranks.ReplicaCount : 1;
        for (var replicas = _ranks.ReplicaCount; replicas >= least; replicas--)
        {
            for (var ranks = _ranks.RanksPerReplica - 1; ranks > 0; ranks--)
            {
                if (divideOver(ranks, replicas).FirstOrDefault(division => division.RankBytes.Count > 0 && HasRoom(division, replicas)) is { } found)
                    return found with { ReplicaCount = replicas };
            }
        }

        return null;
    }

    private void GoOnOverFewerRanks(UnitDivision division, string reason)
    {
        var start = NewestStart() ?? StartingPoint.Checkpoint(_saving.LastSaved);
        DropDivision("The run goes on with fewer stages.");
        GiveUpEvaluations(start.Step);
        var (replicas, former) = (_run.RankCount / _ranks.RanksPerReplica, _ranks.ReplicaCount);
        var episode = new RecoveryEpisode(reason, new RecoveryPlan.Restart(start.Step), _run.Clock);
        if (!Spread(division, start with { Evaluates = _progress.Evaluates(start.Step) }, episode)) return;
        _run = _run with { RankCount = replicas * _ranks.RanksPerReplica };
        _observer.Tell(new RunNotice.Recovering(_ranks.Generation, $"{reason}; the nodes that are left hold {_ranks.RankCount} ranks only", [.. _ranks.Places.Select((place, rank) => (rank, place.Node))]));
        _observer.Tell(new RunNotice.UnitsMoved(start.Step, division.UnitCounts));
        if (_ranks.ReplicaCount != former) TellReplicas(former, start.Step, reason);
    }
}
