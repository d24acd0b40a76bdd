using System.Collections.Immutable;
using Pipeline.Cli.Configuration;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>The replicas of a pipeline on a described cluster, one after the other over its devices: each kind of them once.</summary>
internal static class DescribedReplicas
{
    /// <summary>Kinds of replicas.</summary>
    /// <param name="world">Nodes with their speeds and memories, stragglers, links.</param>
    /// <param name="rankCount">Ranks of a replica, each on a device of its own.</param>
    /// <param name="replicaCount">Replicas.</param>
    /// <param name="measured">Profile of each node, and its speed beside the plan's; empty where they are as described.</param>
    public static ImmutableArray<PlannedPipeline> Of(SimulationSettings world, int rankCount, int replicaCount, IReadOnlyList<(ModelProfile Profile, double Speed)> measured)
    {
        var speeds = Spread(world.NodeSpeeds);
        var memories = Spread(world.NodeMemories);
        var stragglers = world.Stragglers.ToLookup(straggler => straggler.Rank / rankCount);
        return PlannedPipeline.Kinds(Enumerable.Range(0, replicaCount).Select(Replica));

        PlannedPipeline Replica(int replica)
        {
            var first = (long)replica * rankCount;
            // Replicas that begin in the middle of a node cross to the next one elsewhere.
            var offset = (int)(first % world.DevicesPerNode);
            return new PlannedPipeline(replica, [.. Enumerable.Range(0, rankCount).Select(rank => Node((int)((first + rank) / world.DevicesPerNode)))])
            {
                Slowdowns = [.. stragglers[replica].Select(slow => new Slowdown(slow.Rank % rankCount, slow.Factor, slow.From, slow.To))],
                LinkKind = offset,
                Links = outputBytes => Links(world, offset, rankCount, outputBytes),
            };
        }

        NodeCapacity Node(int node) => new(measured.Count > 0 ? measured[node].Speed : speeds.GetValueOrDefault(node, 1), (long)(world.DeviceMemory * memories.GetValueOrDefault(node, 1)))
        {
            Profile = measured.Count > 0 ? measured[node].Profile : null,
        };
    }

    private static LinkModel Links(SimulationSettings world, int offset, int rankCount, ImmutableArray<long> outputBytes)
    {
        var links = LinkModel.OfNodes(
            (offset + rankCount + world.DevicesPerNode - 1) / world.DevicesPerNode, world.DevicesPerNode,
            new RankLink(world.Within.Latency, world.Within.BytesPerSecond, 0), new RankLink(world.Between.Latency, world.Between.BytesPerSecond, 0), outputBytes);
        return links with
        {
            Between = (from, to) => links.Between(from + offset, to + offset),
            SerializationPerByte = world.Serialization,
            SerializesAside = world.SerializesAside,
        };
    }

    private static Dictionary<int, double> Spread(IReadOnlyList<(int Count, double Value)> parts) =>
        parts.SelectMany(part => Enumerable.Repeat(part.Value, part.Count)).Index().ToDictionary(pair => pair.Index, pair => pair.Item);
}
