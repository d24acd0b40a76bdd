using Akka.Actor;
using Pipeline.Protocol;
using static Pipeline.Protocol.NodeProtocol;

namespace Pipeline.Coordinator;

/// <summary>How a coordinator begins: it waits for nodes and places all ranks, or takes over what a predecessor has left with them.</summary>
public sealed partial class CoordinatorActor
{
    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromSeconds(1);

    private int StageNodeCount => _nodes.Alive.Count(node => node.Roles.Contains(NodeInfo.StageRole));

    private void OnGathered(NodeInfo node)
    {
        if (_run.Predecessor is not null)
        {
            Ask(node);
            Timers.StartSingleTimer("ask", new AskAgainTick(), AskAgainAfter);
        }
        else if (StageNodeCount >= _run.NodeCount)
        {
            PlaceFirst();
        }
    }

    private void OnNodePatience()
    {
        if (_run.Predecessor is { } predecessor) TakeOverFrom(predecessor);
        else if (StageNodeCount > 0) PlaceFirst();
        else End(Failed($"No node with the role '{NodeInfo.StageRole}' has joined within {_run.Recovery.NodePatience.TotalSeconds:0} s. Start some with `pipeline node`."));
    }

    private void PlaceFirst()
    {
        Timers.Cancel("nodes");
        if (!TryPlace([.. Enumerable.Range(0, _ranks.RankCount)])) return;
        _ranks.MostPerNode = _ranks.Places.GroupBy(place => place.Node).Max(node => node.Count());
        SetMachines();
        _observer.Tell(new RunNotice.Placed([.. _ranks.Places.Select(place => _nodes[place.Node]!)], [.. _ranks.Places.Select(place => place.Holder?.Node)]));
        foreach (var node in _nodes.Alive) Ask(node);
        Become(Leading);
        _toAssign.UnionWith(Enumerable.Range(0, _ranks.RankCount));
        Decide(() =>
        {
            _toAssign.Clear();
            AssignAll(_ranks.Base);
            WatchProgress();
        });
    }

    private void AskHosted()
    {
        foreach (var node in _nodes.Alive.Where(node => !_standing.ContainsKey(node.Id))) Ask(node);
        Timers.StartSingleTimer("ask", new AskAgainTick(), AskAgainAfter);
    }

    /// <summary>Once all nodes of the predecessor's placement have answered, or were given up, nothing more is to be heard.</summary>
    private void OnHosted(HostedReport report)
    {
        if (_nodes[report.Node] is null) return;
        _standing[report.Node] = report;
        TryTakeOver();
    }

    private void TryTakeOver()
    {
        if (_run.Predecessor is not { } predecessor || _ranks.Places.Count > 0 || _nodes.Alive.Count == 0) return;
        var isComplete = predecessor.Entry.Nodes.All(node => _standing.ContainsKey(node) || _nodes.IsLost(node)) && _nodes.Alive.All(node => _standing.ContainsKey(node.Id));
        if (isComplete) TakeOverFrom(predecessor);
    }

    private void TakeOverFrom(Predecessor predecessor)
    {
        Timers.Cancel("nodes");
        Timers.Cancel("ask");
        var entry = predecessor.Entry;
        var takeOver = TakeOver.For(entry, _standing.Values, _ranks.RankCount);
        foreach (var node in entry.Nodes.Where(node => _nodes[node] is null)) _nodes.Shut(node, "It did not answer the new coordinator.");
        _ranks.Generation = takeOver.Generation;
        _ranks.Adopt([.. Enumerable.Range(0, _ranks.RankCount).Select(rank => takeOver.Adopted.TryGetValue(rank, out var node)
            ? (node, _nodes[node]?.StagePath(takeOver.Names[rank]) ?? "")
            : default)]);
        _hosted.UnionWith(_standing.Values.SelectMany(report => report.Stages.Select(stage => (report.Node, stage.Rank))));
        _announcedProtection = Math.Max(entry.ProtectedStep, takeOver.ProtectedStep);
        _copies.Announced(_announcedProtection);
        foreach (var (rank, step, holder) in CopiesOf(entry)) _copies.Enter(rank, step, holder);
        _progress.Adopt(takeOver.GrantedStep, takeOver.CompletedSteps);
        // Any of them may have been replaying.
        foreach (var rank in takeOver.Adopted.Keys) _reached.PutBack(rank, takeOver.GrantedStep);
        if (entry.IsStopWanted || takeOver.IsEnded) _progress.WantStop();
        _hasBegun = true;
        Become(Leading);
        Recover($"the coordinator was replaced; the ranks had come to step {takeOver.CompletedSteps.Max()} meanwhile", takeOver.Lost);
    }

    private IEnumerable<(int Rank, long Step, NodeId Holder)> CopiesOf(JournalEntry entry)
    {
        // What was announced as protected lies in the folder for every rank, if copies went there then.
        var inFolder = _run.Protection.At(_announcedProtection, _progress.Plan.Changes).Kind == ProtectionKind.Disk && _announcedProtection > entry.Base.Step
            ? Enumerable.Range(0, _ranks.RankCount).Select(rank => (rank, _announcedProtection, default(NodeId)))
            : [];
        return inFolder.Concat(_standing.Values.SelectMany(report => report.Copies.Where(copy => copy.PartitionedIn == entry.PartitionedIn).Select(copy => (copy.Rank, copy.Step, report.Node))));
    }
}
