using System.Collections.Immutable;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Machine;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>What a plan or a simulation reckons with, from the settings: costs, ranks, links, replicas.</summary>
/// <param name="Profile">Costs of the units.</param>
/// <param name="Ranks">The ranks of one pipeline.</param>
/// <param name="Slowdowns">Its stragglers.</param>
/// <param name="Links">Links for given output sizes; null for the profile's latency only.</param>
/// <param name="Reductions">Reductions for given gradient sizes; null without replicas.</param>
/// <param name="Description">A line that says where all this is.</param>
internal sealed record PlanWorld(
    ModelProfile Profile,
    ImmutableArray<NodeCapacity> Ranks,
    ImmutableArray<Slowdown> Slowdowns,
    Func<ImmutableArray<long>, LinkModel>? Links,
    Func<ImmutableArray<long>, IReductionModel>? Reductions,
    string Description)
{
    // The rest is for code, tokens, buffers of the library.
    private const double UsableMemoryShare = 0.8;

    /// <summary>The cluster that the settings describe, or the machine at hand.</summary>
    /// <exception cref="ScheduleException">The cluster has too few devices, or the profile does not belong to the model.</exception>
    public static PlanWorld Of(RunSettings settings) =>
        settings.Step.IsUneven ? throw new ScheduleException($"Replicas with stages of their own are neither planned nor simulated: leave {SettingsSchema.StagesPerReplica} out, and ask for one number of stages after the other.")
        : settings.Simulation.NodeCount is { } nodeCount ? Described(settings, nodeCount) : ThisMachine(settings);

    /// <summary>The machine at hand, one thread a rank.</summary>
    public static PlanWorld ThisMachine(RunSettings settings)
    {
        var rankCount = settings.Step.StageCount;
        var replicaCount = settings.Step.ReplicaCount;
        var memory = (long)(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes * UsableMemoryShare / (rankCount * replicaCount));
        var profile = ProfileStore.Find(settings) ?? UnitEstimates.Of(settings, Flops(settings));
        var replicas = replicaCount == 1 ? "" : FormattableString.Invariant($"{replicaCount} replicas × ");
        return new PlanWorld(profile, [.. Enumerable.Repeat(new NodeCapacity(1, memory), rankCount)], [], null, PlannedReductions.Here(settings),
            FormattableString.Invariant($"this machine, {replicas}{rankCount} ranks of one thread each, {memory / 1e9:0.#} GB a rank"));
    }

    private static double Flops(RunSettings settings)
    {
        var figures = PrecisionProbe.Measure(settings.Data.CacheFolder);
        return (settings.Precision == PrecisionChoice.Bf16 ? figures.Bf16GigaFlops : figures.Fp32GigaFlops) * 1e9;
    }

    private static PlanWorld Described(RunSettings settings, int nodeCount)
    {
        var (world, rankCount) = (settings.Simulation, settings.Step.StageCount);
        var replicaCount = settings.ReplicasToReckonWith;
        var wanted = (long)rankCount * replicaCount;
        if (wanted > (long)nodeCount * world.DevicesPerNode)
            throw new ScheduleException(
                $"{replicaCount} replicas of {rankCount} ranks need {wanted} devices, but {nodeCount} nodes × {world.DevicesPerNode} devices are {(long)nodeCount * world.DevicesPerNode}. "
                + "Lower pipeline.simulation.replicas, pipeline.parallelism.data or pipeline.parallelism.pipeline, or describe more nodes.");
        if (world.Stragglers.FirstOrDefault(straggler => straggler.Rank >= rankCount) is { Factor: > 0 } outside)
            throw new ScheduleException($"pipeline.simulation.stragglers names rank {outside.Rank}: expected a rank from 0 to {rankCount - 1}.");
        var speeds = world.NodeSpeeds.SelectMany(part => Enumerable.Repeat(part.Speed, part.Count)).ToArray();
        var profile = settings.Profile is null ? UnitEstimates.Of(settings, world.DeviceFlops) : ProfileStore.Find(settings)!;
        return new PlanWorld(
            profile,
            [.. Enumerable.Range(0, rankCount).Select(rank => rank / world.DevicesPerNode).Select(node => new NodeCapacity(node < speeds.Length ? speeds[node] : 1, (long)world.DeviceMemory))],
            [.. world.Stragglers.Select(straggler => new Slowdown(straggler.Rank, straggler.Factor))],
            outputBytes => LinkModel.OfNodes(
                (rankCount + world.DevicesPerNode - 1) / world.DevicesPerNode, world.DevicesPerNode,
                new RankLink(world.Within.Latency, world.Within.BytesPerSecond, 0), new RankLink(world.Between.Latency, world.Between.BytesPerSecond, 0), outputBytes) with
            {
                SerializationPerByte = world.Serialization,
                SerializesAside = world.SerializesAside,
            },
            // All devices of a node reduce at the end of a step, through the card that they share.
            PlannedReductions.Over(settings, world.Between.BytesPerSecond / Math.Min(world.DevicesPerNode, rankCount), world.Within.BytesPerSecond, world.Between.Latency),
            FormattableString.Invariant($"{Counted(nodeCount, "node")} × {Counted(world.DevicesPerNode, "device")}: {Counted(rankCount, "rank")} × {Counted(replicaCount, "replica")}"));
    }

    private static string Counted(int count, string word) => FormattableString.Invariant($"{count} {word}{(count == 1 ? "" : "s")}");
}
