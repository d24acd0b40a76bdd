using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// One combination of a plan on its way to a candidate: which units its stages get, whether that fits, what it takes. Memory follows from the order of the
/// actions alone, so that divisions that do not fit cost no simulation.
/// </summary>
internal sealed class PlannedStep
{
    // Steps until the ranks' shift against one another has settled.
    private const int SteadyCount = 2;

    // Of an even share of the rank's memory: stages may differ in what they need.
    private static readonly double[] s_memoryShares = [1.6, 1.4, 1.2, 1, 0.9];

    private readonly PlanRequest _request;
    private readonly PlanCandidate _candidate;
    private readonly Schedule _plain;
    private readonly Schedule _recomputing;
    private readonly ImmutableArray<UnitProfile> _units;
    private readonly UnitDemand[] _demands;

    /// <exception cref="ScheduleException">There are more stages than units.</exception>
    public PlannedStep(PlanRequest request, Schedule plain, int microBatchSize, RecomputePolicy recompute)
    {
        _units = request.Profile.For(microBatchSize);
        if (plain.StageCount > _units.Length)
            throw new ScheduleException(
                $"Cannot split {_units.Length} units into {plain.StageCount} stages: each needs at least one unit. Lower pipeline.schedule.virtual-stages or pipeline.parallelism.pipeline, or add layers.");
        (_request, _plain) = (request, plain);
        _candidate = new PlanCandidate(plain.Name, plain.StageCount / plain.RankCount, microBatchSize, plain.MicroBatchCount, recompute);
        _recomputing = recompute is RecomputePolicy.None ? plain : RecomputePass.Apply(plain, Enumerable.Range(0, plain.StageCount));
        _demands = [.. _units.Select((unit, index) => new UnitDemand(unit.WorkUnder(plain.UsesSplitBackward, recompute), unit.StateBytes, KeptBytes(index)))];
    }

    /// <summary>Divides the units, and simulates the step.</summary>
    public (PlanCandidate Candidate, SimulatedStep Step) Simulate()
    {
        var candidate = _plain.StageCount == _plain.RankCount ? OnePerRank() : SeveralPerRank();
        candidate = candidate with { Schedule = StepEndPass.Apply(_recomputing, _request.TiedStages(candidate.Partition)) };
        var model = PlanEvaluation.Model(_request, candidate, _units);
        var step = Simulator.Run(candidate.Schedule, model);
        var time = model.WaitsForNorm ? step.Duration : SteadySteps.Added(candidate.Schedule, _ => model with { Memory = [] }, SteadyCount, step);
        return (candidate with
        {
            StepTime = time,
            BubbleShare = time > 0 ? 1 - (step.Ranks.Sum(rank => rank.Busy) / (step.Ranks.Length * time)) : 0,
        }, step);
    }

    // One stage a rank: the exact search knows memory and speed of every node.
    private PlanCandidate OnePerRank() => NodePartitioner.Partition(_demands, _request.Ranks, ScheduleValidator.PeakInFlight(_plain)) is { } found
        ? Held(found.Stages, found.NodeOfStage) with { IsExactPartition = found.IsExact }
        // Nothing fits: what it would need is still worth knowing.
        : Held(ByCost(), InOrder());

    // Several stages a rank share its memory in ways that only the order of its actions knows: the search balances time, and where that does not fit, it is
    // run again with less and less memory for each stage, until what it finds fits: a heuristic, unlike the search for one stage a rank.
    private PlanCandidate SeveralPerRank()
    {
        var held = ScheduleValidator.PeakInFlight(_plain);
        var perRank = (double)_plain.StageCount / _plain.RankCount;
        var byTime = Held(_request.Ranks.Distinct().Count() == 1 ? ByCost() : Search(double.MaxValue)!.Value, InOrder());
        if (byTime.Fits) return byTime;
        foreach (var share in s_memoryShares)
        {
            if (Search(share / perRank) is { } stages && Held(stages, InOrder()) is { Fits: true } fitting)
                return fitting;
        }

        return byTime;

        ImmutableArray<UnitRange>? Search(double share) => new OrderedSearch(
            _demands,
            [.. _plain.RankOfStage.Select(rank => _request.Ranks[rank] with { MemoryBytes = (long)Math.Min(long.MaxValue / 2, _request.Ranks[rank].MemoryBytes * share) })],
            [.. _plain.RankOfStage.Select(rank => (int)Math.Ceiling(held[rank] / perRank))]).Find()?.Stages;
    }

    private ImmutableArray<UnitRange> ByCost() => Partitioner.Partition([.. _demands.Select(demand => demand.Cost)], _plain.StageCount);

    private ImmutableArray<int> InOrder() => [.. Enumerable.Range(0, _plain.RankCount)];

    /// <summary>The candidate with a division of the units, and what that holds.</summary>
    private PlanCandidate Held(ImmutableArray<UnitRange> partition, ImmutableArray<int> nodeOfRank)
    {
        var memory = MemoryUse.Of(_recomputing, StageProfile.Of(_units, partition, recompute: _candidate.Recompute).Memory);
        var fullest = memory.MaxBy(rank => rank.Total - Room(rank));
        return _candidate with
        {
            Partition = partition,
            NodeOfRank = nodeOfRank,
            PeakBytes = memory.Max(rank => rank.Total),
            Misfit = fullest.Total <= Room(fullest) ? null : FormattableString.Invariant($"rank {fullest.Rank} needs {fullest.Total / 1048576.0:N0} MiB and has {Room(fullest) / 1048576.0:N0}"),
        };

        long Room(RankMemory rank) => _request.Ranks[nodeOfRank[rank.Rank]].MemoryBytes;
    }

    private long KeptBytes(int index) => _candidate.Recompute switch
    {
        RecomputePolicy.Full when index > 0 => Math.Min(_units[index].KeptBytes, _units[index - 1].OutputBytes),
        RecomputePolicy.Selective => _units[index].SelectiveKeptBytes ?? _units[index].KeptBytes,
        _ => _units[index].KeptBytes,
    };
}
