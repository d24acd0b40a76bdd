using System.Collections.Immutable;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Machine;
using Pipeline.Nodes;
using Pipeline.Schedules;
using Pipeline.Training;

namespace Pipeline.Cli.Planning;

/// <summary>What a plan or a simulation reckons with, from the settings: costs, ranks, links, replicas.</summary>
/// <param name="Profile">Costs of the units.</param>
/// <param name="Pipelines">Kinds of replicas with their ranks, stragglers and links.</param>
/// <param name="Reductions">Reductions for given gradient sizes; null without replicas.</param>
/// <param name="Description">A line that says where all this is.</param>
internal sealed record PlanWorld(
    ModelProfile Profile,
    ImmutableArray<PlannedPipeline> Pipelines,
    Func<ImmutableArray<long>, IReductionModel>? Reductions,
    string Description)
{
    /// <summary>For each place of a pipeline the least that a replica has there.</summary>
    public ImmutableArray<NodeCapacity> Ranks { get; } = PlannedPipeline.Least(Pipelines);

    /// <summary>Whether ranks stay on the nodes that they are listed with, since others place them.</summary>
    public bool KeepsOrder { get; init; }

    /// <summary>By rank of all replicas, the address of the node at its place in <see cref="Pipelines"/>; empty where there is no cluster.</summary>
    public IReadOnlyList<string> Places { get; init; } = [];

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
        var memory = (long)(settings.Step.RankMemory ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes * MemoryEstimate.UsableShare / (rankCount * replicaCount));
        var profile = ProfileStore.Find(settings) ?? UnitEstimates.Of(settings, Flops(settings));
        var replicas = replicaCount == 1 ? "" : FormattableString.Invariant($"{replicaCount} replicas × ");
        PlannedPipeline pipeline = new(0, [.. Enumerable.Repeat(new NodeCapacity(1, memory), rankCount)]) { ReplicaCount = replicaCount };
        return new PlanWorld(profile, [pipeline], PlannedReductions.Here(settings),
            FormattableString.Invariant($"this machine, {replicas}{rankCount} ranks of one thread each, {memory / 1e9:0.#} GB a rank"));
    }

    /// <summary>
    /// A cluster that is there, with the nodes on which ranks would be placed. Which rank gets which of them is the plan's to choose; replicas keep theirs, which are
    /// placed so that each stays together.
    /// </summary>
    /// <exception cref="ScheduleException">No node takes stages, or the profile does not belong to the model.</exception>
    public static PlanWorld OfCluster(RunSettings settings, IReadOnlyList<NodeStatus> nodes)
    {
        var costs = ClusterCosts.Of(settings, nodes, PrecisionProbe.Measure(settings.Data.CacheFolder).Fp32GigaFlops, Flops(settings));
        var world = ClusterWorld.Of(settings, nodes, costs);
        var pipelines = world.Pipelines;
        if (settings.Step.RankMemory is { } most)
            pipelines = [.. pipelines.Select(pipeline => pipeline with { Ranks = [.. pipeline.Ranks.Select(rank => rank with { MemoryBytes = Math.Min(rank.MemoryBytes, (long)most) })] })];
        return new PlanWorld(costs.Plan, pipelines, PlannedReductions.Here(settings), world.Description)
        {
            KeepsOrder = settings.Step.ReplicaCount > 1,
            Places = world.Places,
        };
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
        if (world.Stragglers.FirstOrDefault(straggler => straggler.Rank >= wanted) is { Factor: > 0 } outside)
            throw new ScheduleException($"pipeline.simulation.stragglers names rank {outside.Rank}: expected a rank from 0 to {wanted - 1}, of {replicaCount} replicas of {rankCount}, one after the other.");
        foreach (var (key, parts) in new[] { (SimulationKeys.NodeSpeeds, world.NodeSpeeds), (SimulationKeys.NodeMemories, world.NodeMemories) })
            if (parts.Sum(part => (long)part.Count) is var named && named > nodeCount)
                throw new ScheduleException($"{key.Path} names {named} nodes, but pipeline.simulation.nodes is {nodeCount}. Name at most as many; the rest are of 1.0.");
        var measured = ProfileStore.Named(settings) is { Count: > 1 } several ? several : [];
        if (measured.Count > 0 && measured.Count != nodeCount)
            throw new ScheduleException($"pipeline.profile names {measured.Count} files, but pipeline.simulation.nodes is {nodeCount}: expected one file, or one for each node in their order.");
        if (measured.Count > 0 && world.NodeSpeeds.Count > 0)
            throw new ScheduleException("pipeline.simulation.node-speeds would be ignored: several files in pipeline.profile say how fast the nodes are. Leave one of them out.");
        var profile = settings.Profile is null ? UnitEstimates.Of(settings, world.DeviceFlops) : ProfileStore.Find(settings)!;
        return new PlanWorld(
            profile,
            DescribedReplicas.Of(world, rankCount, replicaCount, [.. measured.Select(node => (node.Profile, node.Profile.SpeedBeside(profile, settings.Step.MicroBatchSize)))]),
            // All devices of a node reduce at the end of a step, through the card that they share.
            PlannedReductions.Over(settings, world.Between.BytesPerSecond / Math.Min(world.DevicesPerNode, rankCount), world.Within.BytesPerSecond, world.Between.Latency),
            FormattableString.Invariant($"{Counted(nodeCount, "node")} × {Counted(world.DevicesPerNode, "device")}: {Counted(rankCount, "rank")} × {Counted(replicaCount, "replica")}"));
    }

    private static string Counted(int count, string word) => FormattableString.Invariant($"{count} {word}{(count == 1 ? "" : "s")}");
}
