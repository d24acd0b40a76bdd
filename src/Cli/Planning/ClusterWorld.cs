using System.Collections.Immutable;
using Pipeline.Cli.Configuration;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>
/// What a plan for a running cluster reckons with: each rank on the node where the coordinator would place it now, with a share of that node's memory
/// and the node's speed beside this machine's, on which the costs of units were measured: by the profile of its machine, where one is named, else by
/// the speed of a product that the node says. Links between nodes are not measured: what counts of
/// them is the profile's latency.
/// </summary>
internal static class ClusterWorld
{
    // Nodes that do not say what memory they have are not limited by it: the coordinator does as much.
    private const long Unlimited = long.MaxValue / 4;

    /// <summary>The replicas of a run on the nodes that are there.</summary>
    /// <param name="settings">Ranks, replicas, threads of a rank.</param>
    /// <param name="nodes">As the cluster describes them.</param>
    /// <param name="speedHere">What this machine computes, in GFLOP/s of one thread, as nodes measure it.</param>
    /// <param name="measured">Speeds of machines whose profiles are named; they count before what a node says.</param>
    /// <exception cref="ScheduleException">No node takes stages.</exception>
    public static ImmutableArray<PlannedPipeline> Pipelines(
        RunSettings settings, IReadOnlyList<NodeStatus> nodes, double speedHere, IReadOnlyList<(string Machine, double Speed)>? measured = null)
    {
        var profiled = (measured ?? []).DistinctBy(machine => machine.Machine).ToDictionary(machine => machine.Machine, machine => machine.Speed);
        var (rankCount, replicaCount) = (settings.Step.StageCount, settings.Step.ReplicaCount);
        var byId = nodes.ToDictionary(node => new NodeId(node.Address, 0));
        var leader = nodes.FirstOrDefault(node => node.Coordinates) is { } leading ? new NodeId(leading.Address, 0) : (NodeId?)null;
        var places = ExpectedPlacement.Of([.. byId.Select(pair => Info(pair.Key, pair.Value))], leader, rankCount, replicaCount)
            ?? throw new ScheduleException($"None of the cluster's {nodes.Count} nodes takes stages, so that plan = auto has nothing to plan for. Start nodes with the role {NodeInfo.StageRole}.");
        var shared = places.GroupBy(place => place).ToDictionary(group => group.Key, group => group.Count());
        return PlannedPipeline.Kinds(places.Chunk(rankCount).Select((ranks, replica) => new PlannedPipeline(replica, [.. ranks.Select(Capacity)])));

        NodeCapacity Capacity(NodeId place)
        {
            var (node, ranks) = (byId[place], shared[place]);
            var speed = profiled.TryGetValue(node.Host, out var known) ? known : node.Speed > 0 && speedHere > 0 ? node.Speed / speedHere : 1;
            // More threads than processors take turns.
            var turn = node.Threads > 0 ? Math.Min(1, node.Threads / ((double)ranks * settings.ThreadsPerStage)) : 1;
            return new NodeCapacity(speed * turn, node.MemoryBytes > 0 ? (long)(node.MemoryBytes * PlanWorld.UsableMemoryShare / ranks) : Unlimited);
        }
    }

    /// <summary>A line that says what is reckoned with.</summary>
    public static string Describe(RunSettings settings, IReadOnlyList<NodeStatus> nodes, ImmutableArray<PlannedPipeline> pipelines)
    {
        var ranks = PlannedPipeline.Least(pipelines);
        var speeds = string.Join(", ", ranks.Select(rank => FormattableString.Invariant($"{rank.Speed:0.00}")));
        var memories = ranks.All(rank => rank.MemoryBytes == Unlimited) ? "memory not known" : string.Join(", ", ranks.Select(rank => rank.MemoryBytes == Unlimited ? "?" : FormattableString.Invariant($"{rank.MemoryBytes / 1e9:0.#}"))) + " GB";
        var replicas = settings.Step.ReplicaCount == 1 ? "" : FormattableString.Invariant($"{settings.Step.ReplicaCount} replicas × ");
        return $"the cluster's {nodes.Count} nodes as they are now, {replicas}{ranks.Length} ranks; speeds beside this machine's {speeds}; {memories}";
    }

    private static NodeInfo Info(NodeId id, NodeStatus node) => new(id, "", node.Roles, "", node.Threads, node.MemoryBytes, node.Speed, node.Host, "");
}
