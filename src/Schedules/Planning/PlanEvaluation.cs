using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Partitions, generates and simulates one combination of a plan.</summary>
public static class PlanEvaluation
{
    // Steps until the ranks' shift against one another has settled.
    private const int SteadyCount = 2;

    /// <summary>What a combination amounts to, and the simulated step that says so.</summary>
    /// <param name="request">Costs, ranks, links.</param>
    /// <param name="plain">The schedule without recomputation and without the step's end, for the ranks of the request.</param>
    /// <param name="microBatchSize">Samples of a micro-batch.</param>
    /// <param name="recompute">What is dropped and made again.</param>
    /// <exception cref="ScheduleException">There are more stages than units.</exception>
    public static (PlanCandidate Candidate, SimulatedStep Step) Of(PlanRequest request, Schedule plain, int microBatchSize, UnitRecompute recompute)
    {
        var candidate = new PlanCandidate(plain.Name, plain.StageCount / plain.RankCount, microBatchSize, plain.MicroBatchCount, recompute);
        var units = request.UnitsFor(microBatchSize, plain);
        if (plain.StageCount > units.Length)
            throw new ScheduleException(
                $"Cannot split {units.Length} units into {plain.StageCount} stages: each needs at least one unit. Lower pipeline.schedule.virtual-stages or pipeline.parallelism.pipeline, or add layers.");
        var recomputing = recompute.IsNone ? plain : RecomputePass.Apply(plain, Enumerable.Range(0, plain.StageCount));
        return Evaluate(request, candidate, units, recomputing, new DivisionSearch(request, plain, recomputing, units, microBatchSize, recompute).Find());
    }

    /// <summary>The mean duration of a candidate's step over some draws of <see cref="PlanRequest.Spread"/>.</summary>
    public static double UnevenTime(PlanRequest request, PlanCandidate candidate, int drawCount)
    {
        // What is held at the peak is known already: it does not depend on durations.
        var model = Model(request, candidate, Measured(request, candidate, request.Profile.For(candidate.MicroBatchSize))) with { Memory = [] };
        SimulationModel Drawn(int draw) => model with { Jitter = new Jitter(request.Spread, draw) };
        return model.WaitsForNorm
            ? Enumerable.Range(0, drawCount).Average(draw => Simulator.Run(candidate.Schedule!, Drawn(draw)).Duration)
            : SteadySteps.Added(candidate.Schedule!, Drawn, drawCount);
    }

    /// <summary>Simulates a combination with a division of its units.</summary>
    /// <param name="request">Costs, ranks, links.</param>
    /// <param name="candidate">The combination.</param>
    /// <param name="units">Costs for its size of micro-batch.</param>
    /// <param name="recomputing">Its schedule without the step's end; every stage recomputes where any does.</param>
    /// <param name="division">Units of each stage, and who takes it.</param>
    internal static (PlanCandidate Candidate, SimulatedStep Step) Evaluate(
        PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units, Schedule recomputing, StageDivision division)
    {
        var (partition, nodeOfRank) = (division.Stages, division.NodeOfRank);
        var own = candidate.Recompute.Everywhere is null ? RecomputePass.Only(recomputing, candidate.Recompute.StagesOf(partition)) : recomputing;
        candidate = candidate with { Partition = partition, NodeOfRank = nodeOfRank, Method = division.Method, Schedule = StepEndPass.Apply(own, request.TiedStages(partition)) };
        var simulated = request.Simulated.Select((_, pipeline) => Simulate(request, candidate with { SlowestPipeline = pipeline }, units)).ToArray();
        var (slowest, step) = simulated.MaxBy(one => one.Candidate.StepTime);
        var fullest = step.Memory.MaxBy(memory => memory.Total - request.Ranks[nodeOfRank[memory.Rank]].MemoryBytes);
        var room = request.Ranks[nodeOfRank[fullest.Rank]].MemoryBytes;
        return (slowest with
        {
            PipelineTimes = [.. simulated.Select(one => one.Candidate.StepTime)],
            PeakBytes = step.Memory.Max(memory => memory.Total),
            Misfit = fullest.Total <= room ? null : FormattableString.Invariant($"rank {fullest.Rank} needs {fullest.Total / 1048576.0:N0} MiB and has {room / 1048576.0:N0}"),
        }, step);
    }

    private static (PlanCandidate Candidate, SimulatedStep Step) Simulate(PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units)
    {
        units = Measured(request, candidate, units);
        var model = Model(request, candidate, units);
        var step = Simulator.Run(candidate.Schedule!, model);
        var time = model.WaitsForNorm ? step.Duration : SteadySteps.Added(candidate.Schedule!, _ => model with { Memory = [] }, SteadyCount, step);
        return (candidate with
        {
            StepTime = time,
            BubbleShare = time > 0 ? 1 - (step.Ranks.Sum(rank => rank.Busy) / (step.Ranks.Length * time)) : 0,
            RankBusy = [.. step.Ranks.Select(rank => rank.Busy)],
            Units = [.. units.Zip(NodeOfUnit(request, candidate), (unit, node) => node is { Profile: null, Speed: not 1 } ? unit.At(node.Speed) : unit)],
        }, step);
    }

    private static SimulationModel Model(PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units)
    {
        var stages = StageProfile.Of(units, candidate.Partition, request.Profile.ActionOverhead, request.Profile.HopLatency, candidate.Recompute);
        var pipeline = request.Simulated[candidate.SlowestPipeline];
        return new SimulationModel
        {
            Costs = stages.Costs,
            // A measured node's speed is in the costs of its units.
            SpeedOfRank = [.. candidate.NodeOfRank.Select(node => pipeline.Ranks[node] is { Profile: null } estimated ? estimated.Speed : 1)],
            Slowdowns = [.. pipeline.Slowdowns.Select(slow => slow with { Rank = candidate.NodeOfRank.IndexOf(slow.Rank) })],
            Memory = stages.Memory,
            Links = Between(pipeline.Links?.Invoke(stages.OutputBytes), candidate.NodeOfRank),
            Reductions = request.Reductions?.Invoke(stages.GradientBytes),
            // Whole backwards leave nothing to do while the norm travels.
            WaitsForNorm = request.WaitsForNorm || !candidate.Schedule!.UsesSplitBackward || candidate.Schedule.RankCount == 1,
        };
    }

    // Each unit with the times of the node that holds it, where that was measured, and the plan's sizes.
    private static ImmutableArray<UnitProfile> Measured(PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units)
    {
        var own = request.Simulated[candidate.SlowestPipeline].Ranks.Select(node => node.Profile).OfType<ModelProfile>().Distinct().ToDictionary(profile => profile, profile => profile.For(candidate.MicroBatchSize));
        return own.Count == 0 ? units : [.. NodeOfUnit(request, candidate).Select((node, unit) => node.Profile is { } measured ? units[unit].WithTimesOf(own[measured][unit]) : units[unit])];
    }

    private static IEnumerable<NodeCapacity> NodeOfUnit(PlanRequest request, PlanCandidate candidate)
    {
        var nodes = request.Simulated[candidate.SlowestPipeline].Ranks;
        return candidate.Partition.SelectMany((range, stage) => Enumerable.Repeat(nodes[candidate.NodeOfRank[candidate.Schedule!.RankOfStage[stage]]], range.Count));
    }

    // Links are those of the devices that the ranks are on.
    private static LinkModel? Between(LinkModel? devices, ImmutableArray<int> nodeOfRank) =>
        devices is null ? null : devices with { Between = (from, to) => devices.Between(nodeOfRank[from], nodeOfRank[to]) };
}
