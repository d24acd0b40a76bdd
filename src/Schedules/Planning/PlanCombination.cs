using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>One combination of what a plan may choose: kind, stages per rank, size of the micro-batch, memory credit, recomputation.</summary>
/// <param name="Kind">The kind of schedule, with the model's own proportions where its order depends on them.</param>
/// <param name="Shape">Ranks, micro-batches, stages per rank, credit.</param>
/// <param name="MicroBatchSize">Samples of a micro-batch.</param>
/// <param name="Recompute">What is dropped and made again.</param>
internal sealed record PlanCombination(IScheduleGenerator Kind, ScheduleShape Shape, int MicroBatchSize, RecomputePolicy Recompute)
{
    /// <summary>What the schedule without recomputation follows from: combinations that share it need it once.</summary>
    public (IScheduleGenerator? Kind, ScheduleShape Shape, OrderCosts? Costs) Origin => (Kind is Greedy ? null : Kind, Shape, Costs);

    /// <summary>The costs with which its order is found; null where it needs none.</summary>
    public OrderCosts? Costs => (Kind as Greedy)?.Costs;

    /// <summary>A few words.</summary>
    public string Name => Planner.Name(new PlanCandidate(Kind.Name, Shape.VirtualStagesPerRank, MicroBatchSize, Shape.MicroBatchCount, UnitRecompute.All(Recompute)) { MemoryCredit = Shape.MemoryCredit });

    /// <summary>All combinations of a request, in a fixed order.</summary>
    /// <exception cref="ScheduleException">No size of micro-batch divides the samples of a step, or there are more ranks than units.</exception>
    public static ImmutableArray<PlanCombination> All(PlanRequest request)
    {
        var sizes = request.MicroBatchSizes.Where(size => size >= 1 && request.SamplesPerStep % size == 0).Distinct().Order().ToArray();
        if (sizes.Length == 0)
            throw new ScheduleException($"No size of micro-batch among {string.Join(", ", request.MicroBatchSizes)} divides the {request.SamplesPerStep} samples of a step.");
        ImmutableArray<PlanCombination> all =
        [
            .. from size in sizes
               from kind in request.Kinds
               from perRank in request.VirtualStages.Where(kind.StagesPerRank.Allows)
               where perRank * request.Ranks.Length <= request.Profile.UnitCount
               from recompute in Policies(request)
               from shape in Shapes(kind, new ScheduleShape(request.Ranks.Length, request.SamplesPerStep / size, perRank))
               select new PlanCombination(Fitting(kind, request.Profile.For(size), recompute), shape, size, recompute),
        ];
        return all.Length > 0
            ? all
            : throw new ScheduleException($"Cannot split {request.Profile.UnitCount} units over {request.Ranks.Length} ranks: each needs at least one unit. Lower pipeline.parallelism.pipeline or add layers.");
    }

    /// <summary>What a request lets units drop, as far as the profile knows what it would save.</summary>
    public static IEnumerable<RecomputePolicy> Policies(PlanRequest request)
    {
        var knowsSelective = request.Profile.BySize.First().Value.Any(unit => unit.SelectiveKeptBytes < unit.KeptBytes);
        return request.Recomputes.Where(policy => policy is not RecomputePolicy.Selective || knowsSelective);
    }

    // What a rank may hold ahead is what the work-conserving order lives on: its own default, twice that, and all there is.
    private static IEnumerable<ScheduleShape> Shapes(IScheduleGenerator kind, ScheduleShape shape)
    {
        yield return shape;
        if (kind is not Greedy)
            yield break;
        var all = shape.MicroBatchCount * shape.VirtualStagesPerRank;
        foreach (var credit in new[] { 2 * shape.StageCount, all }.Where(credit => credit > shape.StageCount && credit <= all).Distinct())
            yield return shape with { MemoryCredit = credit };
    }

    // The work-conserving order is found with the model's own proportions.
    private static IScheduleGenerator Fitting(IScheduleGenerator kind, ImmutableArray<UnitProfile> units, RecomputePolicy recompute)
    {
        if (kind is not Greedy)
            return kind;
        var inputGradient = units.Sum(unit => unit.InputGradient) + units.Sum(unit => unit.RecomputeUnder(recompute));
        return new Greedy(new OrderCosts(units.Sum(unit => unit.Forward), inputGradient, units.Sum(unit => unit.WeightGradient)));
    }
}
