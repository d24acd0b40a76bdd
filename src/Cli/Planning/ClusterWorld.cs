using System.Collections.Immutable;
using Pipeline.Cli.Configuration;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Training;

namespace Pipeline.Cli.Planning;

/// <summary>
/// What a plan for a running cluster reckons with: the nodes on which the coordinator would place ranks now, each rank with its share of a node's memory, and with
/// the costs of units as they were measured on that node, or the speed that is known of it. Links between nodes are not measured: what counts of them is the profile's latency.
/// </summary>
/// <param name="Pipelines">Kinds of replicas.</param>
/// <param name="Places">By rank of all replicas, the address of its node.</param>
/// <param name="Description">A line that says what is reckoned with, and of which nodes it was measured.</param>
internal sealed record ClusterWorld(ImmutableArray<PlannedPipeline> Pipelines, IReadOnlyList<string> Places, string Description)
{
    // Nodes that do not say what memory they have are not limited by it: the coordinator does as much.
    private const long Unlimited = long.MaxValue / 4;

    /// <summary>The replicas of a run on the nodes that are there.</summary>
    /// <param name="settings">Ranks, replicas, threads of a rank.</param>
    /// <param name="nodes">As the cluster describes them.</param>
    /// <param name="costs">What is known of them.</param>
    /// <exception cref="ScheduleException">No node takes stages.</exception>
    public static ClusterWorld Of(RunSettings settings, IReadOnlyList<NodeStatus> nodes, ClusterCosts costs)
    {
        var places = RankPlaces(settings, nodes, costs.SpeedOf);
        // Nodes on one machine share its processors and its memory.
        var shared = places.GroupBy(place => place.Host).ToDictionary(group => group.Key, group => group.Count());
        Dictionary<string, NodeCapacity> capacities = [];
        foreach (var place in places) capacities.TryAdd(place.Address, Capacity(place));
        var pipelines = PlannedPipeline.Kinds(places.Chunk(settings.Step.StageCount).Select((ranks, replica) => new PlannedPipeline(replica, [.. ranks.Select(rank => capacities[rank.Address])])));
        return new ClusterWorld(pipelines, [.. places.Select(place => place.Address)], Describe());

        NodeCapacity Capacity(NodeStatus node)
        {
            var ranks = shared[node.Host];
            // More threads than processors take turns. A profile was measured with as many side by side as there are processors for.
            var turn = node.Threads > 0 ? Math.Min(1, node.Threads / ((double)ranks * settings.ThreadsPerStage)) : 1;
            return new NodeCapacity(costs.SpeedOf(node) * turn, node.MemoryBytes > 0 ? (long)(node.MemoryBytes * MemoryEstimate.UsableShare / ranks) : Unlimited) { Profile = costs.MeasuredOn(node)?.At(turn) };
        }

        string Describe()
        {
            var ranks = PlannedPipeline.Least(pipelines);
            var memories = ranks.All(rank => rank.MemoryBytes == Unlimited) ? "memory not known" : string.Join(", ", ranks.Select(rank => rank.MemoryBytes == Unlimited ? "?" : FormattableString.Invariant($"{rank.MemoryBytes / 1e9:0.#}"))) + " GB";
            var replicas = settings.Step.ReplicaCount == 1 ? "" : FormattableString.Invariant($"{settings.Step.ReplicaCount} replicas × ");
            var speeds = string.Join(", ", places.DistinctBy(place => place.Address).Select(costs.Describe));
            return $"the cluster's {nodes.Count} nodes as they are now, {replicas}{ranks.Length} ranks; speeds beside the profile's: {speeds}; {memories}";
        }
    }

    /// <summary>The node of each rank, replica by replica, as the coordinator would place them now.</summary>
    /// <param name="settings">Ranks, replicas.</param>
    /// <param name="nodes">The cluster's.</param>
    /// <param name="speedOf">How fast each is.</param>
    /// <exception cref="ScheduleException">No node takes stages.</exception>
    public static IReadOnlyList<NodeStatus> RankPlaces(RunSettings settings, IReadOnlyList<NodeStatus> nodes, Func<NodeStatus, double> speedOf)
    {
        var byId = nodes.ToDictionary(node => new NodeId(node.Address, 0));
        var leader = nodes.FirstOrDefault(node => node.Coordinates) is { } leading ? new NodeId(leading.Address, 0) : (NodeId?)null;
        NodeInfo[] infos = [.. byId.Select(pair => new NodeInfo(pair.Key, "", pair.Value.Roles, "", pair.Value.Threads, pair.Value.MemoryBytes, speedOf(pair.Value), pair.Value.Host, ""))];
        var places = ExpectedPlacement.Of(infos, leader, settings.Step.StageCount, settings.Step.ReplicaCount)
            ?? throw new ScheduleException($"None of the cluster's {nodes.Count} nodes takes stages, so that there is nothing to plan for. Start nodes with the role {NodeInfo.StageRole}.");
        return [.. places.Select(place => byId[place])];
    }
}
