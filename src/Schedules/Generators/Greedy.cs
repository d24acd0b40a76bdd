namespace Pipeline.Schedules;

/// <summary>
/// The work-conserving schedule: no rank is idle while it could work. A free rank runs an input-gradient half if one is ready,
/// else a forward while its memory credit lasts, else a weight-gradient half; the later stage first. The order is found by
/// running the pipeline once with these costs and is then fixed: data like any other schedule, to be printed, read and
/// replayed. With the default credit, p stages' activations per stage held, it comes within a few units of ZB-H1; with
/// 2p − 1 and one stage per rank it reaches the bound of a step with a barrier.
/// </summary>
/// <remarks>
/// With several stages per rank, a forward of an earlier stage must leave a credit for each later stage of the rank: otherwise
/// first stages could take all memory, and no micro-batch would ever come to its backward.
/// </remarks>
/// <param name="costs">What the parts of a micro-batch cost while an order is found.</param>
public sealed class Greedy(OrderCosts costs) : IScheduleGenerator
{
    /// <summary>Orders found with parts that cost the same.</summary>
    public Greedy()
        : this(OrderCosts.Equal)
    {
    }

    /// <summary>What the parts of a micro-batch cost while an order is found.</summary>
    public OrderCosts Costs => costs;

    /// <inheritdoc/>
    public string Name => "greedy";

    /// <inheritdoc/>
    public string Summary => "work-conserving under a memory credit, split backward; its order is recorded";

    /// <inheritdoc/>
    public bool UsesSplitBackward => true;

    /// <inheritdoc/>
    public StagesPerRank StagesPerRank => StagesPerRank.Any with { Default = 1 };

    /// <inheritdoc/>
    public Schedule Generate(ScheduleShape shape)
    {
        var credit = shape.MemoryCredit ?? shape.StageCount;
        if (credit < shape.VirtualStagesPerRank)
            throw new ScheduleException(
                $"A memory credit of {credit} is less than one activation for each of the {shape.VirtualStagesPerRank} stages of a rank. " +
                $"Raise pipeline.schedule.memory-credit to {shape.VirtualStagesPerRank} or more.");
        var rows = OrderBuilder.Run(shape, shape.LoopedPlacement, costs, new GreedyPolicy(shape, credit));
        return new Schedule(Name, ScheduleMode.Train, shape.MicroBatchCount, shape.LoopedPlacement, rows);
    }

    /// <summary>
    /// The credit that is asked for. Where none is, no limit: a schedule's text does not say under which credit it was found.
    /// </summary>
    public ScheduleLimits LimitsFor(ScheduleShape shape)
    {
        var all = checked(shape.MicroBatchCount * shape.VirtualStagesPerRank);
        return new(shape.MicroBatchCount, [.. Enumerable.Repeat(Math.Min(shape.MemoryCredit ?? all, all), shape.RankCount)]);
    }

    private sealed class GreedyPolicy(ScheduleShape shape, int credit) : IOrderPolicy
    {
        public StageAction? Choose(OrderBuilder state, int rank)
        {
            var last = shape.StageCount - shape.RankCount + rank;
            for (var stage = last; stage >= 0; stage -= shape.RankCount)
                if (state.IsGradientReady(stage, out var gradient))
                    return gradient;
            for (int stage = last, laterCount = 0; stage >= 0; stage -= shape.RankCount, laterCount++)
                if (state.Held(rank) < credit - laterCount && state.IsForwardReady(stage, out var forward))
                    return forward;
            return state.HasPendingWeight(rank) ? state.OldestWeight(rank) : null;
        }
    }
}
