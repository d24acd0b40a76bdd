using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Which units the stages of a schedule get, and which node takes each rank.</summary>
/// <param name="Stages">Units of each stage.</param>
/// <param name="NodeOfRank">For each rank the node that takes it.</param>
/// <param name="Method">How it was found.</param>
internal sealed record StageDivision(ImmutableArray<UnitRange> Stages, ImmutableArray<int> NodeOfRank, PartitionMethod Method);

/// <summary>
/// Divides units over the stages of one schedule. What a rank holds follows from the order of its actions: the searches reckon with a bound
/// of it, and what they find is held against the order itself.
/// </summary>
internal sealed class DivisionSearch
{
    // Of an even share of the rank's memory: stages may differ in what they need.
    private static readonly double[] s_shares = [1.6, 1.4, 1.2, 1, 0.9];

    // Halves of a backward that wait may hold more than the search counts.
    private static readonly double[] s_tighter = [0.9, 0.8, 0.65, 0.5];

    // Where nothing fits, what it would need is still worth knowing: little more than there is, if possible.
    private static readonly double[] s_looser = [1.25, 1.6, 2.5, 5, 25, double.PositiveInfinity];

    private readonly PlanRequest _request;
    private readonly Schedule _plain;
    private readonly Schedule _recomputing;
    private readonly ImmutableArray<UnitProfile> _units;
    private readonly UnitRecompute _recompute;
    private readonly UnitDemand[] _demands;
    private readonly NodeCapacity[] _nodes;
    private readonly ImmutableArray<int> _held;

    /// <param name="request">Ranks and their memory.</param>
    /// <param name="plain">The schedule without recomputation.</param>
    /// <param name="recomputing">The same with it.</param>
    /// <param name="units">Costs for the size of micro-batch at hand.</param>
    /// <param name="microBatchSize">That size.</param>
    /// <param name="recompute">What is made again.</param>
    public DivisionSearch(PlanRequest request, Schedule plain, Schedule recomputing, ImmutableArray<UnitProfile> units, int microBatchSize, UnitRecompute recompute)
    {
        (_request, _plain, _recomputing, _units, _recompute) = (request, plain, recomputing, units, recompute);
        _demands = [.. Enumerable.Range(0, units.Length).Select(Demand)];
        _held = ScheduleValidator.PeakInFlight(plain);
        // One list for each profile: nodes are of one kind where they share it.
        var measured = request.Ranks.Select(node => node.Profile).OfType<ModelProfile>().Distinct()
            .ToDictionary(profile => profile, profile => profile.For(microBatchSize).Select(Work).ToArray());
        _nodes = [.. request.Ranks.Select(node => node.Profile is { } own ? node with { UnitCosts = measured[own] } : node)];
    }

    /// <summary>The division found, whether or not it fits.</summary>
    public StageDivision Find() => _plain.StageCount == _plain.RankCount ? OnePerRank() : SeveralPerRank();

    private double Work(UnitProfile unit, int index) => unit.WorkUnder(_plain.UsesSplitBackward, _recompute[index]);

    private UnitDemand Demand(int index)
    {
        var (unit, policy) = (_units[index], _recompute[index]);
        var inputBytes = index == 0 ? 0 : _units[index - 1].OutputBytes;
        // Where the unit before it is made again, too, its input is: unless a stage begins with it.
        var isWithin = index > 0 && _recompute[index - 1] is RecomputePolicy.Full;
        return new UnitDemand(Work(unit, index), unit.StateBytes, unit.KeptBytes)
        {
            RestBytes = policy switch
            {
                RecomputePolicy.Full => isWithin ? 0 : inputBytes,
                RecomputePolicy.Selective => unit.SelectiveKeptBytes,
                _ => null,
            },
            EntryBytes = policy is RecomputePolicy.Full && isWithin ? inputBytes : 0,
        };
    }

    private StageDivision OnePerRank()
    {
        var exact = With(1);
        if (exact is not null && Fits(exact)) return exact;
        foreach (var share in exact is null ? s_looser : s_tighter)
            if (With(share) is { } found && (exact is null || Fits(found)))
                return found with { Method = PartitionMethod.MemoryInSteps };
        return exact!;

        // The search knows memory and speed of every node.
        StageDivision? With(double share)
        {
            NodeCapacity[] nodes = [.. _nodes.Select(node => Shared(node, share))];
            if (_request.KeepsOrder)
                return new OrderedSearch(_demands, nodes, _held).Find() is var (stages, _) ? InOrder(stages) with { Method = PartitionMethod.GivenOrder } : null;
            return NodePartitioner.Partition(_demands, nodes, _held) is { } found ? new StageDivision(found.Stages, found.NodeOfStage, found.Method) : null;
        }
    }

    // Several stages a rank share its memory in ways that only the order of its actions knows: the search balances time, and where that does not fit, it is
    // run again with less and less memory for each stage, until what it finds fits.
    private StageDivision SeveralPerRank()
    {
        var perRank = (double)_plain.StageCount / _plain.RankCount;
        var byTime = InOrder(_nodes.Distinct().Count() == 1
            ? Partitioner.Partition(_nodes[0].UnitCosts ?? [.. _demands.Select(demand => demand.Cost)], _plain.StageCount)
            : Search(double.PositiveInfinity)!.Value);
        if (Fits(byTime)) return byTime;
        foreach (var share in s_shares)
            if (Search(share / perRank) is { } stages && InOrder(stages) is var found && Fits(found))
                return found;
        return byTime;

        ImmutableArray<UnitRange>? Search(double share) => new OrderedSearch(
            _demands,
            [.. _plain.RankOfStage.Select(rank => Shared(_nodes[rank], share))],
            [.. _plain.RankOfStage.Select(rank => (int)Math.Ceiling(_held[rank] / perRank))]).Find()?.Stages;
    }

    private StageDivision InOrder(ImmutableArray<UnitRange> stages) => new(stages, [.. Enumerable.Range(0, _plain.RankCount)], PartitionMethod.SeveralStages);

    private static NodeCapacity Shared(NodeCapacity node, double share) => node with
    {
        MemoryBytes = double.IsPositiveInfinity(share) ? long.MaxValue / 2 : (long)Math.Min(long.MaxValue / 2, node.MemoryBytes * share),
    };

    private bool Fits(StageDivision division) => MemoryUse.Of(_recomputing, StageProfile.Of(_units, division.Stages, recompute: _recompute).Memory)
        .All(rank => rank.Total <= _request.Ranks[division.NodeOfRank[rank.Rank]].MemoryBytes);
}
