using Akka.Actor;
using Akka.Serialization;
using Pipeline.Protocol;
using static Pipeline.Protocol.NodeProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>How ranks get their places and their state: <see cref="Placement"/> decides, these handlers tell the nodes.</summary>
public sealed partial class CoordinatorActor
{
    /// <summary>Places all ranks anew but those that stay; ends the run where they fit nowhere.</summary>
    private bool TryPlace(IReadOnlyList<int> moved)
    {
        if (_run.Stages is not null) return true;
        var kept = _ranks.Places.Index().Where(place => !moved.Contains(place.Index) && _nodes[place.Item.Node] is not null).ToDictionary(place => place.Index, place => place.Item.Node);
        foreach (var (rank, node) in _wanted) kept[rank] = node;
        var holders = _ranks.Places.Index().Where(place => place.Item.Holder is not null).ToDictionary(place => place.Index, place => place.Item.Holder!.Node);
        var bytes = _run.RankBytes.Count == _run.RankCount ? _run.RankBytes : new long[_run.RankCount];
        var placement = Placement.For([.. _nodes.Usable.Select(node => new PlaceableNode(node, node.Id == _run.Home))], kept, bytes, holders, _ranks.RanksPerReplica < _run.RankCount ? _ranks.RanksPerReplica : null);
        if (placement is null)
        {
            End(Failed($"{_run.RankCount - kept.Count} ranks, of up to {bytes.Max() >> 20:N0} MiB each, fit on none of the {_nodes.Usable.Count} nodes that are left. "
                + $"Start nodes with the role '{NodeInfo.StageRole}' and memory for them, and resume the run; with more stages each needs less."));
            return false;
        }

        RankPlace[] places = [.. placement.Nodes.Select((node, rank) => PlaceOf(rank, node, placement.Holders[rank], stays: kept.ContainsKey(rank) && !_wanted.ContainsKey(rank)))];
        _ranks.Place(places, [.. places.Select(place => Resolve(place.StagePath))]);
        return true;
    }

    /// <summary>A rank that comes to a node has an actor of its own name there, also where it was on the node before.</summary>
    private RankPlace PlaceOf(int rank, NodeId node, NodeId? holder, bool stays)
    {
        var info = _nodes[node]!;
        var held = holder is { } id && _run.Protection.Kind == ProtectionKind.Memory ? HolderOf(id) : null;
        return new RankPlace(node, stays ? _ranks.Places[rank].StagePath : info.StagePath(_run.Run, rank, _ranks.Generation), info.LinkAddress, held);
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
        {
            IReadOnlyList<int> ranks = [.. node.Select(assignment => assignment.Rank)];
            foreach (var assignment in node) Resolve(_nodes[node.Key]!.ActorPath).Tell(new HostStage(_run.Run, _ranks.Generation, ranks, assignment));
        }
    }

    private void OnAssigned(StageAssigned assigned)
    {
        Moved();
        if (_run.Stages is null) _ranks.Speaks(assigned.Rank, Sender);
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
