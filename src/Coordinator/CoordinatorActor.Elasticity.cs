using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// How a run goes on with fewer replicas while there is no room for all, and with more, also than it began with, once there is: either is another division of the same
/// step's work, from a state that is to be had. Room is what the fullest node was given when the run began.
/// </summary>
public sealed partial class CoordinatorActor
{
    // Set by whatever changes the nodes, so that a change that could not be made is not tried at every step.
    private bool _mayResize = true;

    // Older checkpoints are pruned.
    private bool IsBaseWhole => !_ranks.IsBaseGone && _ranks.Base.Copies.All(source => source.Holder is null || _nodes[source.Holder.Node] is not null)
        && (_ranks.Base.Kind != StartKind.Checkpoint || _saving.LastSaved <= _ranks.Base.Step);

    /// <summary>A node that joined, or a loss that had to be made good in place, may ask for another number of replicas: at a step's end.</summary>
    private void ConsiderReplicas()
    {
        if (!_mayResize || _move is not null || _progress.IsStopWanted || !IsSettled || _ranks.Unready.Count > 0 || (_run.Keeper is null && !IsProtected)) return;
        _mayResize = false;
        if ((Resized(grows: true) ?? Resized(grows: false)) is not { } division) return;
        Plan(new PlannedMove(ActorRefs.Nobody) { Division = division });
    }

    /// <summary>The layout for as many replicas as there is room for; null where these are as many as so far, or no layout is known.</summary>
    private UnitDivision? Resized(bool grows)
    {
        if (_run.Elastic is not { } elastic || _run.Stages is not null || _ranks.MostPerNode == 0) return null;
        if (elastic.RankCounts is { } began) return grows ? WithMoreOf(elastic, began) : WithFewerOf(elastic);
        var wanted = Elasticity.ReplicasFor(_nodes.Alive.Select(RoomOf), _ranks.RanksPerReplica, elastic.Most ?? _run.RankCount / _ranks.RanksPerReplica, _run.HasReducers);
        if (wanted == _ranks.ReplicaCount || wanted > _ranks.ReplicaCount != grows) return null;
        var least = grows ? _ranks.ReplicaCount + 1 : 1;
        for (var count = wanted; count >= least; count--)
        {
            if (elastic.Divide(count, _ranks.UnitCounts) is { } division && HasRoom(division, count)) return division with { ReplicaCount = count };
        }

        return null;
    }

    /// <summary>Whether the ranks of a division find room, all of them placed anew.</summary>
    private bool HasRoom(UnitDivision division, int replicaCount)
    {
        if (division.RankBytes.Count == 0) return true;
        var mesh = ReplicaMesh.OfReplicas(division.UnitCounts, division.Schedule, division.Others, replicaCount, _run.HasReducers);
        // Who adds up beside the replicas counts like a rank of the first.
        IReadOnlyList<long> bytes = [.. division.RankBytes, .. division.RankBytes.Take(mesh.ReducerCount)];
        PlaceableNode[] nodes = [.. _nodes.Usable.Select(node => new PlaceableNode(node, node.Id == _run.Home))];
        return Placement.For(nodes, new Dictionary<int, NodeId>(), bytes, new Dictionary<int, NodeId>(), mesh) is not null;
    }

    private int RoomOf(NodeInfo node)
    {
        var seats = SeatsOf(node);
        var bytes = _ranks.RankBytes.Max();
        return node.MemoryByteCount == 0 || bytes == 0 || IsCordoned(node) ? seats : (int)Math.Min(seats, node.MemoryByteCount / bytes);
    }

    /// <summary>Ranks that a node may take, whatever memory they need.</summary>
    private int SeatsOf(NodeInfo node)
    {
        if (!node.Roles.Contains(NodeInfo.StageRole) || _nodes.IsDraining(node.Id)) return 0;
        // A cordoned node keeps what it has.
        return IsCordoned(node) ? _ranks.On(node.Id).Count : _ranks.MostPerNode;
    }

    private bool IsCordoned(NodeInfo node) => _nodes.Usable.All(usable => usable.Id != node.Id);

    /// <summary>
    /// After a loss: fewer replicas, from the newest state that is left of the run. Not where the lost ranks alone can begin from a newer one,
    /// on the nodes that are left: then that comes first, and the number of replicas changes at a step's end.
    /// </summary>
    private (UnitDivision Division, StartingPoint Start)? WithFewerReplicas(RecoveryPlan inPlace, IReadOnlyList<int> lostRanks)
    {
        if (Resized(grows: false) is not { } division || NewestStart() is not { } start) return null;
        var isOlder = inPlace is RecoveryPlan.Replay replay && replay.Starts.Values.Min(rank => rank.Step) > start.Step;
        return isOlder && PlacementFor(lostRanks) is not null ? null : (division, start);
    }

    /// <summary>The newest committed state of which copies, what the ranks began from, or a checkpoint hold everything.</summary>
    private StartingPoint? NewestStart()
    {
        var copied = _copies.Steps.Where(step => step <= _progress.Committed && step > _ranks.Base.Step && HoldersAt(step) is not null).Select(step => (long?)step).Max();
        var saved = _saving.LastSaved <= _progress.Committed ? _saving.LastSaved : -1;
        if (copied is { } newest && newest > saved) return FromCopies(newest);
        if (IsBaseWhole && _ranks.Base.Step >= saved) return _ranks.Base;
        return saved < 0 ? null : StartingPoint.Checkpoint(saved);
    }

    private IReadOnlyList<(int Rank, NodeId Holder)>? HoldersAt(long step) => _copies.HoldersAt(step, _ranks.Mesh.Alike, _run.Elastic?.SharesState != false || IsCompressedByOperator);

    /// <summary>What a rank has lost by compression is its alone.</summary>
    private bool IsCompressedByOperator => _progress.Plan.Changes.Any(change => change is { Setting: SettingKind.GradientCompression or SettingKind.AnswerCompression, Value: > 0 });

    private StartingPoint FromCopies(long step) => new(StartKind.Copies, step, [.. HoldersAt(step)!.Select(copy => SourceOf(copy.Rank, copy.Holder, step))]);

    private void GoOnWithFewerReplicas(UnitDivision division, StartingPoint start, string reason)
    {
        DropDivision($"The run goes on with {division.ReplicaCount} replicas.");
        GiveUpEvaluations(start.Step);
        var former = _ranks.ReplicaCount;
        if (!Spread(division, start with { Evaluates = _progress.Evaluates(start.Step) }, new RecoveryEpisode(reason, new RecoveryPlan.Restart(start.Step), _run.Clock))) return;
        _observer.Tell(new RunNotice.Recovering(_ranks.Generation, reason, [.. _ranks.Places.Select((place, rank) => (rank, place.Node))]));
        TellReplicas(former, start.Step, reason);
    }

    private void TellReplicas(int former, long step, string reason) =>
        _observer.Tell(new RunNotice.ReplicasChanged(step, former, _ranks.ReplicaCount, reason, _run.Elastic is { KeepsOrder: false }));

    /// <summary>What was to be divided or put elsewhere is not there any more.</summary>
    private void DropDivision(string why)
    {
        _mayResize = true;
        if (_move is not { } move || (move.Division is null && move.Wanted is null)) return;
        _move = null;
        move.Refuse(_ranks.UnitCounts, _progress.Committed, why);
    }

    /// <summary>All ranks become others, in a new generation; false where they fit nowhere, which ends the run.</summary>
    private bool Spread(UnitDivision division, StartingPoint start, RecoveryEpisode? episode = null)
    {
        var (formerMesh, formerCount, formerRanks, former) = (_ranks.Mesh, _ranks.ReplicaCount, _ranks.RanksPerReplica, _ranks.Places.Take(_ranks.ReplicaRankCount).ToArray());
        _saving.Abandon();
        NextGeneration();
        _ranks.Divide(division);
        _ranks.Base = start;
        // Of other stages nothing is where it was.
        if (_run.Elastic?.RankCounts is not null) ResizeAmong(formerMesh, former);
        else if (_ranks.RanksPerReplica != formerRanks) Resize([]);
        else if (_ranks.ReplicaCount != formerCount) Resize(former);
        // Ranks of another number of replicas may be too large for where they are.
        if (_run.Stages is null && _ranks.ReplicaCount != formerCount && Placement.Overload(_nodes.Alive, [.. _ranks.Places.Select(place => place.Node)], _ranks.RankBytes) is not null)
            Renumber(Enumerable.Repeat(Nowhere, _ranks.ReplicaRankCount));
        if (!TryPlace([])) return false;
        SetMachines();
        _episode = episode;
        _rebalance.Restart(_ranks.ReplicaRankCount);
        Reset();
        _toAssign.Clear();
        _toAssign.UnionWith(Enumerable.Range(0, _ranks.RankCount));
        Decide(() =>
        {
            _assignedNow.Clear();
            _toAssign.Clear();
            _episode?.Placed(_run.Clock);
            ReleaseMoved();
            AssignAll(_ranks.Base);
            WatchProgress();
        });
        return true;
    }

    /// <summary>Ranks count anew, replica by replica; those that are left keep their nodes under their new numbers, with new actors.</summary>
    private void Resize(IReadOnlyList<RankPlace> former)
    {
        var perReplica = _ranks.RanksPerReplica;
        var isLeft = AreLeft(former);
        var heirs = Elasticity.Heirs(isLeft, perReplica, _ranks.ReplicaCount);
        Renumber(heirs.SelectMany(replica => Enumerable.Range(0, perReplica).Select(rank => replica * perReplica + rank).Select(rank => replica >= 0 && isLeft[rank] ? former[rank] with { StagePath = "" } : Nowhere)));
    }

    private bool[] AreLeft(IEnumerable<RankPlace> places) => [.. places.Select(place => _nodes[place.Node] is not null && !_nodes.IsDraining(place.Node))];

    private static RankPlace Nowhere { get; } = new(default, "", "", null);

    /// <summary>The ranks of the replicas lie there from now on; those that add up beside them are placed anew.</summary>
    private void Renumber(IEnumerable<RankPlace> places)
    {
        _ranks.Place([.. places, .. Enumerable.Repeat(Nowhere, _ranks.ReducerCount)], []);
        _progress.Resize(_ranks.RankCount, _ranks.Base.Step, _run.Elastic?.KeepsOrder ?? true);
        _saving.Resize(_ranks.RankCount);
        _reached = new ReachedSteps(_ranks.RankCount);
    }
}
