using Akka.Actor;
using Akka.Serialization;
using Pipeline.Protocol;
using Pipeline.Reduction.Summation;
using static Pipeline.Protocol.NodeProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>How ranks get their places and their state: <see cref="Placement"/> decides, these handlers tell the nodes.</summary>
public sealed partial class CoordinatorActor
{
    // What nodes were told to host, and may not have been told to give up.
    private readonly HashSet<(NodeId Node, int Rank)> _hosted = [];

    private Placement? PlacementFor(IReadOnlyList<int> moved)
    {
        var kept = _ranks.Places.Index().Where(place => !moved.Contains(place.Index) && _nodes[place.Item.Node] is not null).ToDictionary(place => place.Index, place => place.Item.Node);
        foreach (var (rank, node) in _wanted) kept[rank] = node;
        var holders = _ranks.Places.Index().Where(place => place.Item.Holder is not null).ToDictionary(place => place.Index, place => place.Item.Holder!.Node);
        return Placement.For([.. _nodes.Usable.Select(node => new PlaceableNode(node, node.Id == _run.Home))], kept, _ranks.RankBytes, holders, _ranks.Mesh, PlannedPlaces());
    }

    /// <summary>What a plan says of ranks without a node, as long as the run has the ranks that it was made for.</summary>
    private Dictionary<int, NodeId> PlannedPlaces()
    {
        if (_run.PlannedNodes.Count != _ranks.Mesh.ReplicaRankCount) return [];
        var byAddress = _nodes.Usable.DistinctBy(node => node.Id.Address).ToDictionary(node => node.Id.Address, node => node.Id, StringComparer.Ordinal);
        return _run.PlannedNodes.Index().Where(planned => byAddress.ContainsKey(planned.Item)).ToDictionary(planned => planned.Index, planned => byAddress[planned.Item]);
    }

    /// <summary>Places all ranks anew but those that stay; ends the run where they fit nowhere.</summary>
    private bool TryPlace(IReadOnlyList<int> moved)
    {
        if (_run.Stages is not null) return true;
        if (PlacementFor(moved) is { } placement)
        {
            Place(placement, moved);
            return true;
        }

        End(Failed($"Ranks without a node, of up to {_ranks.RankBytes.Max() >> 20:N0} MiB each, fit on none of the {_nodes.Usable.Count} nodes that are left. "
            + $"Start nodes with the role '{NodeInfo.StageRole}' and memory for them, and resume the run; with more stages each needs less."));
        return false;
    }

    /// <summary>Whether all ranks find a place, those that stay where they are.</summary>
    private bool Fits(IReadOnlyList<int> moved) => _run.Stages is not null || PlacementFor(moved) is not null;

    private void Place(Placement placement, IReadOnlyList<int> moved)
    {
        var former = _ranks.Places;
        RankPlace[] places = [.. placement.Nodes.Select((node, rank) => PlaceOf(rank, node, placement.Holders[rank], IsKept(rank, moved) ? former[rank] : null))];
        _ranks.Place(places, [.. places.Select(place => Resolve(place.StagePath))]);
    }

    private bool IsKept(int rank, IReadOnlyList<int> moved) =>
        rank < _ranks.Places.Count && !moved.Contains(rank) && !_wanted.ContainsKey(rank) && _ranks.Places[rank] is { StagePath.Length: > 0 } place && _nodes[place.Node] is not null;

    /// <summary>A replica that lies on several machines counts for that of its first rank.</summary>
    private void SetMachines()
    {
        if (_run.Stages is not null || !_run.GroupsByMachine || _ranks.ReplicaCount == 1) return;
        string[] hosts = [.. Enumerable.Range(0, _ranks.ReplicaCount).Select(replica => _nodes[_ranks.Places[_ranks.Mesh.RanksOf(replica).First()].Node]!.HostName)];
        string[] machines = [.. hosts.Distinct(StringComparer.Ordinal)];
        _ranks.Machines = [.. hosts.Select(host => Array.IndexOf(machines, host))];
        var groups = hosts.Index().GroupBy(replica => replica.Item, StringComparer.Ordinal).Select(group => (Host: group.Key, Replicas: group.Select(replica => replica.Index).ToArray())).ToArray();
        _observer.Tell(new RunNotice.Grouped([.. groups.Select(group => $"{group.Host}: replicas {string.Join(", ", group.Replicas)}")],
            groups.All(group => new SummationTree(_ranks.ReplicaCount).CompleteSubtrees(group.Replicas).Count == 1)));
    }

    /// <summary>A rank that stays keeps its actor; one that is put somewhere gets another one, also where it was there before.</summary>
    private RankPlace PlaceOf(int rank, NodeId node, NodeId? holder, RankPlace? kept)
    {
        var info = _nodes[node]!;
        var held = holder is { } id && Protection.Kind == ProtectionKind.Memory ? HolderOf(id) : null;
        return new RankPlace(node, kept?.StagePath ?? info.StagePath(NodeInfo.StageName(_run.Run, rank, _ranks.Generation)), info.LinkAddress, held);
    }

    private HolderPlace? HolderOf(NodeId id) => _nodes[id] is { } info ? new HolderPlace(id, info.CopyHolderPath, info.LinkAddress) : null;

    /// <summary>For a run whose ranks never move.</summary>
    private void PlaceAt(StageLocator locator)
    {
        var stages = Enumerable.Range(0, _ranks.RankCount).Select(rank => locator(Context, rank)).ToArray();
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

    private void AssignAll(StartingPoint start) => Assign(Enumerable.Range(0, _ranks.RankCount).ToDictionary(rank => rank, _ => start));

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
            foreach (var assignment in node) _hosted.Add((node.Key, assignment.Rank));
            IReadOnlyList<int> ranks = [.. node.Select(assignment => assignment.Rank)];
            foreach (var assignment in node) Resolve(_nodes[node.Key]!.ActorPath).Tell(new HostStage(_run.Run, _ranks.Generation, ranks, assignment));
        }
    }

    private void OnAssigned(StageAssigned assigned)
    {
        if (_ranks.Unassigned.Contains(assigned.Rank)) Reached(Waypoint.Assigned, assigned.Rank);
        if (_run.Stages is null) _ranks.Speaks(assigned.Rank, Sender);
        if (_ranks.Assigned(assigned.Rank)) RegenerateOthers();
    }

    /// <summary>All inboxes are open: the ranks that have kept their state send again, and what was granted holds for all.</summary>
    private void RegenerateOthers()
    {
        var layout = _ranks.Layout;
        var completed = Enumerable.Range(0, _ranks.RankCount).Select(_progress.CompletedBy).ToArray();
        for (var rank = 0; rank < _ranks.RankCount; rank++)
        {
            if (!_assignedNow.Contains(rank)) _ranks.Refs[rank].Tell(new Regenerate(_ranks.Generation, rank, layout, completed));
        }

        // After that nobody takes anything of a rank's former life any more.
        if (_run.Stages is null && _assignedNow.Count < _ranks.RankCount) foreach (var node in _nodes.Alive) Ask(node);
        SendGrants();
        if (_hasBegun && _ranks.Unready.Count == 0) OnAllReady();
    }

    /// <summary>Old hosts of moved ranks, or of ranks that are no more, need not keep them where they live on.</summary>
    private void ReleaseMoved()
    {
        var moved = _hosted.Where(hosted => hosted.Rank >= _ranks.Places.Count || _ranks.Places[hosted.Rank].Node != hosted.Node).ToArray();
        foreach (var node in moved.GroupBy(hosted => hosted.Node))
        {
            if (_nodes[node.Key] is { } info) Resolve(info.ActorPath).Tell(new ReleaseStages(_run.Run, _ranks.Generation, [.. node.Select(hosted => hosted.Rank).Order()]));
        }

        _hosted.ExceptWith(moved);
    }

    private void Release()
    {
        foreach (var node in _nodes.Alive) Resolve(node.ActorPath).Tell(new ReleaseStages(_run.Run, _ranks.Generation, []));
    }

    private void Ask(NodeInfo node) => Resolve(node.ActorPath).Tell(new ReportHosted(_run.Run, _ranks.Generation));

    private static IActorRef Resolve(string path) => ((ExtendedActorSystem)Context.System).Provider.ResolveActorRef(path);
}
