using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Partitions, generates and simulates one combination of a plan.</summary>
public static class PlanEvaluation
{
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
            WorkOf(unit, plain.UsesSplitBackward, candidate.Recompute), unit.StateBytes, KeptBytes(units, index, candidate.Recompute))).ToArray();
        var found = NodePartitioner.Partition(demands, request.Ranks, ScheduleValidator.PeakInFlight(plain));
        // Nothing fits: what it would need is still worth knowing.
        return found is null
            ? Evaluate(request, candidate, units, plain, Partitioner.Partition([.. demands.Select(demand => demand.Cost)], plain.StageCount), [.. Enumerable.Range(0, plain.RankCount)])
            : Evaluate(request, candidate with { IsExactPartition = found.IsExact }, units, plain, found.Stages, found.NodeOfStage);
    }

    // Several stages a rank share its memory, so that the search balances time and memory is judged afterwards.
    private static (PlanCandidate, SimulatedStep) SeveralPerRank(PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units, Schedule plain)
    {
        var demands = units.Select(unit => new UnitDemand(WorkOf(unit, plain.UsesSplitBackward, candidate.Recompute), 0, 0)).ToArray();
        if (request.Ranks.Distinct().Count() == 1)
            return Evaluate(request, candidate, units, plain, Partitioner.Partition([.. demands.Select(demand => demand.Cost)], plain.StageCount), [.. Enumerable.Range(0, plain.RankCount)]);
        var stages = new OrderedSearch(demands, [.. plain.RankOfStage.Select(rank => request.Ranks[rank] with { MemoryBytes = long.MaxValue })], new int[plain.StageCount]).Find()!.Value.Stages;
        return Evaluate(request, candidate, units, plain, stages, [.. Enumerable.Range(0, plain.RankCount)]);
    }

    private static double WorkOf(UnitProfile unit, bool isSplit, RecomputePolicy recompute) =>
        unit.Forward + (isSplit ? unit.InputGradient + unit.WeightGradient : unit.Backward) + unit.RecomputeUnder(recompute);

    private static long KeptBytes(ImmutableArray<UnitProfile> units, int index, RecomputePolicy recompute) => recompute switch
    {
        RecomputePolicy.Full when index > 0 => Math.Min(units[index].KeptBytes, units[index - 1].OutputBytes),
        RecomputePolicy.Selective => units[index].SelectiveKeptBytes ?? units[index].KeptBytes,
        _ => units[index].KeptBytes,
    };

    private static (PlanCandidate, SimulatedStep) Evaluate(
        PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units, Schedule plain, ImmutableArray<UnitRange> partition, ImmutableArray<int> nodeOfRank)
    {
        var stages = StageProfile.Of(units, partition, request.Profile.ActionOverhead, request.Profile.HopLatency, candidate.Recompute);
        var recomputing = candidate.Recompute is RecomputePolicy.None ? plain : RecomputePass.Apply(plain, Enumerable.Range(0, plain.StageCount));
        var schedule = StepEndPass.Apply(recomputing, request.TiedStages(partition));
        var step = Simulator.Run(schedule, new SimulationModel
        {
            Costs = stages.Costs,
            SpeedOfRank = [.. nodeOfRank.Select(node => request.Ranks[node].Speed)],
            Slowdowns = request.Slowdowns,
            Memory = stages.Memory,
            Links = request.Links?.Invoke(stages.OutputBytes),
            Reductions = request.Reductions?.Invoke(stages.GradientBytes),
        });
        var fullest = step.Memory.MaxBy(memory => memory.Total - request.Ranks[nodeOfRank[memory.Rank]].MemoryBytes);
        var room = request.Ranks[nodeOfRank[fullest.Rank]].MemoryBytes;
        return (candidate with
        {
            Partition = partition,
            NodeOfRank = nodeOfRank,
            Schedule = schedule,
            StepTime = step.Duration,
            BubbleShare = step.BubbleShare,
            PeakBytes = step.Memory.Max(memory => memory.Total),
            Misfit = fullest.Total <= room ? null : FormattableString.Invariant($"rank {fullest.Rank} needs {fullest.Total / 1048576.0:N0} MiB and has {room / 1048576.0:N0}"),
        }, step);
    }
}
