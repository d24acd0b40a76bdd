using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Partitions, generates and simulates one combination of a plan.</summary>
public static class PlanEvaluation
{
    // Steps until the ranks' shift against one another has settled.
    private const int SteadyCount = 2;

    // Of an even share of the rank's memory: stages may differ in what they need.
    private static readonly double[] s_memoryShares = [1.6, 1.4, 1.2, 1, 0.9];

    /// <summary>What a combination amounts to, and the simulated step that says so.</summary>
    /// <param name="request">Costs, ranks, links.</param>
    /// <param name="plain">The schedule without recomputation and without the step's end, for the ranks of the request.</param>
    /// <param name="microBatchSize">Samples of a micro-batch.</param>
    /// <param name="recompute">What is dropped and made again.</param>
    public static (PlanCandidate Candidate, SimulatedStep Step) Of(PlanRequest request, Schedule plain, int microBatchSize, RecomputePolicy recompute)
    {
        var candidate = new PlanCandidate(plain.Name, plain.StageCount / plain.RankCount, microBatchSize, plain.MicroBatchCount, recompute);
        var units = request.Profile.For(microBatchSize);
        if (plain.StageCount > units.Length)
            throw new ScheduleException(
                $"Cannot split {units.Length} units into {plain.StageCount} stages: each needs at least one unit. Lower pipeline.schedule.virtual-stages or pipeline.parallelism.pipeline, or add layers.");
        return plain.StageCount == plain.RankCount
            ? OnePerRank(request, candidate, units, plain)
            : SeveralPerRank(request, candidate, units, plain);
    }

    // One stage a rank: the exact search knows memory and speed of every node.
    private static (PlanCandidate, SimulatedStep) OnePerRank(PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units, Schedule plain)
    {
        var demands = units.Select((unit, index) => new UnitDemand(
            unit.WorkUnder(plain.UsesSplitBackward, candidate.Recompute), unit.StateBytes, KeptBytes(units, index, candidate.Recompute))).ToArray();
        var found = NodePartitioner.Partition(demands, request.Ranks, ScheduleValidator.PeakInFlight(plain));
        // Nothing fits: what it would need is still worth knowing.
        return found is null
            ? Evaluate(request, candidate, units, plain, Partitioner.Partition([.. demands.Select(demand => demand.Cost)], plain.StageCount), [.. Enumerable.Range(0, plain.RankCount)])
            : Evaluate(request, candidate with { IsExactPartition = found.IsExact }, units, plain, found.Stages, found.NodeOfStage);
    }

    // Several stages a rank share its memory in ways that only the simulation knows: the search balances time, and where that does not fit, it is
    // run again with less and less memory for each stage, until what it finds fits: a heuristic, unlike the search for one stage a rank.
    private static (PlanCandidate, SimulatedStep) SeveralPerRank(PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units, Schedule plain)
    {
        ImmutableArray<int> ranks = [.. Enumerable.Range(0, plain.RankCount)];
        var demands = units.Select((unit, index) => new UnitDemand(
            unit.WorkUnder(plain.UsesSplitBackward, candidate.Recompute), unit.StateBytes, KeptBytes(units, index, candidate.Recompute))).ToArray();
        var perRank = (double)plain.StageCount / plain.RankCount;
        var byTime = Evaluate(request, candidate, units, plain, ByTime(), ranks);
        if (byTime.Item1.Fits) return byTime;
        foreach (var share in s_memoryShares)
        {
            if (Search(share / perRank) is not { } stages) continue;
            var found = Evaluate(request, candidate, units, plain, stages, ranks);
            if (found.Item1.Fits) return found;
        }

        return byTime;

        ImmutableArray<UnitRange> ByTime() => request.Ranks.Distinct().Count() == 1
            ? Partitioner.Partition([.. demands.Select(demand => demand.Cost)], plain.StageCount)
            : Search(double.MaxValue)!.Value;

        ImmutableArray<UnitRange>? Search(double share)
        {
            var held = ScheduleValidator.PeakInFlight(plain);
            return new OrderedSearch(
                demands,
                [.. plain.RankOfStage.Select(rank => request.Ranks[rank] with { MemoryBytes = (long)Math.Min(long.MaxValue / 2, request.Ranks[rank].MemoryBytes * share) })],
                [.. plain.RankOfStage.Select(rank => (int)Math.Ceiling(held[rank] / perRank))]).Find()?.Stages;
        }
    }

    /// <summary>The mean duration of a candidate's step over some draws of <see cref="PlanRequest.Spread"/>.</summary>
    public static double UnevenTime(PlanRequest request, PlanCandidate candidate, int drawCount)
    {
        var model = Model(request, candidate, request.Profile.For(candidate.MicroBatchSize));
        SimulationModel Drawn(int draw) => model with { Jitter = new Jitter(request.Spread, draw) };
        return model.WaitsForNorm
            ? Enumerable.Range(0, drawCount).Average(draw => Simulator.Run(candidate.Schedule!, Drawn(draw)).Duration)
            : SteadySteps.Added(candidate.Schedule!, Drawn, drawCount);
    }

    private static long KeptBytes(ImmutableArray<UnitProfile> units, int index, RecomputePolicy recompute) => recompute switch
    {
        RecomputePolicy.Full when index > 0 => Math.Min(units[index].KeptBytes, units[index - 1].OutputBytes),
        RecomputePolicy.Selective => units[index].SelectiveKeptBytes ?? units[index].KeptBytes,
        _ => units[index].KeptBytes,
    };

    private static (PlanCandidate, SimulatedStep) Evaluate(
        PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units, Schedule plain, ImmutableArray<UnitRange> partition, ImmutableArray<int> nodeOfRank)
    {
        var recomputing = candidate.Recompute is RecomputePolicy.None ? plain : RecomputePass.Apply(plain, Enumerable.Range(0, plain.StageCount));
        candidate = candidate with { Partition = partition, NodeOfRank = nodeOfRank, Schedule = StepEndPass.Apply(recomputing, request.TiedStages(partition)) };
        var model = Model(request, candidate, units);
        var step = Simulator.Run(candidate.Schedule, model);
        var fullest = step.Memory.MaxBy(memory => memory.Total - request.Ranks[nodeOfRank[memory.Rank]].MemoryBytes);
        var room = request.Ranks[nodeOfRank[fullest.Rank]].MemoryBytes;
        var time = model.WaitsForNorm ? step.Duration : SteadySteps.Added(candidate.Schedule, _ => model, SteadyCount);
        return (candidate with
        {
            StepTime = time,
            BubbleShare = time > 0 ? 1 - (step.Ranks.Sum(rank => rank.Busy) / (step.Ranks.Length * time)) : 0,
            PeakBytes = step.Memory.Max(memory => memory.Total),
            Misfit = fullest.Total <= room ? null : FormattableString.Invariant($"rank {fullest.Rank} needs {fullest.Total / 1048576.0:N0} MiB and has {room / 1048576.0:N0}"),
        }, step);
    }

    private static SimulationModel Model(PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units)
    {
        var stages = StageProfile.Of(units, candidate.Partition, request.Profile.ActionOverhead, request.Profile.HopLatency, candidate.Recompute);
        return new SimulationModel
        {
            Costs = stages.Costs,
            SpeedOfRank = [.. candidate.NodeOfRank.Select(node => request.Ranks[node].Speed)],
            Slowdowns = request.Slowdowns,
            Memory = stages.Memory,
            Links = request.Links?.Invoke(stages.OutputBytes),
            Reductions = request.Reductions?.Invoke(stages.GradientBytes),
            // Whole backwards leave nothing to do while the norm travels.
            WaitsForNorm = request.WaitsForNorm || !candidate.Schedule!.UsesSplitBackward || candidate.Schedule.RankCount == 1,
        };
    }
}
