using System.Globalization;
using Akka.Actor;

namespace Pipeline.Coordinator;

/// <summary>Units that are divided anew by measured times: on an operator's word, or by the run's own <see cref="RebalanceWatch"/>.</summary>
public sealed partial class CoordinatorActor
{
    private void OnRebalance()
    {
        if (!_ranks.Mesh.IsEven)
        {
            Sender.Tell(new Rebalanced(_ranks.UnitCounts, _progress.Committed, "The replicas of the run have stages of their own, which are not divided anew under way. Resume it with other stages."));
            return;
        }

        if (!_hasBegun || _run.Repartition is not { } divide || divide(_ranks.UnitCounts, _rebalance.Seconds, RankRoom()) is not { } division)
        {
            Sender.Tell(new Rebalanced(_ranks.UnitCounts, _progress.Committed, "The units cannot be divided better by what has been measured so far."));
            return;
        }

        if (division.UnitCounts.SequenceEqual(_ranks.UnitCounts))
        {
            Sender.Tell(new Rebalanced(_ranks.UnitCounts, _progress.Committed, "The units are divided as well as can be already."));
            return;
        }

        if (Placement.Overload(_nodes.Alive, [.. _ranks.Places.Select(place => place.Node)], division.RankBytes) is { } overload)
        {
            Sender.Tell(new Rebalanced(_ranks.UnitCounts, _progress.Committed, overload));
            return;
        }

        Plan(new PlannedMove(Sender) { Division = division });
    }

    /// <summary>Units that cannot change hands, since their state could not be saved, stay: a move that is only for speed must not hold the run up.</summary>
    private void GiveDivisionUp(long step, string why)
    {
        if (_move is not { Division: not null } move || move.Boundary != step) return;
        _move = null;
        _progress.Limit = long.MaxValue;
        move.Refuse(_ranks.UnitCounts, _progress.Committed, why);
        Advance();
    }

    // As planners have it: a cut that their limits forced is not to be undone by wider ones.
    private IReadOnlyList<long> RankRoom() => Placement.RoomOf(_nodes.Alive, [.. _ranks.Places.Select(place => place.Node)], _ranks.RankBytes, _run.UsableMemoryShare);

    private void ConsiderRebalance()
    {
        if (_run.Repartition is not { } divide || (_run.Keeper is null && !IsProtected) || _move is not null || _progress.IsStopWanted || _rebalance.Consider(_ranks.UnitCounts, seconds => divide(_ranks.UnitCounts, seconds, RankRoom())) is not { } division) return;
        if (Placement.Overload(_nodes.Alive, [.. _ranks.Places.Select(place => place.Node)], division.RankBytes) is not null) return;
        var (now, then) = (string.Join(',', _ranks.UnitCounts), string.Join(',', division.UnitCounts));
        var saved = division.Gain.ToString("P0", CultureInfo.InvariantCulture);
        if (_run.Rebalance.Kind is RebalanceKind.Auto)
        {
            _observer.Tell(new RunNotice.Warned("rebalance", _progress.Committed, $"Stages of {then} units instead of {now} save {saved} of the slowest rank's time: they are to change hands at a step's end."));
            Plan(new PlannedMove(ActorRefs.Nobody) { Division = division });
        }
        else
        {
            _observer.Tell(new RunNotice.Warned(
                "rebalance", _progress.Committed, $"Stages of {then} units instead of {now} would save {saved} of the slowest rank's time: `rebalance` moves them, and schedule.rebalance = auto does so by itself."));
        }
    }
}
