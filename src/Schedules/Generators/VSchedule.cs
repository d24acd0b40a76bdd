using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// The V-shaped schedules of Qi et al. 2024, "Pipeline Parallelism with Controllable Memory", section 3, and the ZB-V of Qi et
/// al. 2023: each rank holds stages s and 2p−1−s, and one building block, the times at which a micro-batch's two forwards and
/// two input-gradient halves begin on each rank, is repeated every six units of time. How far the passes lie apart in it
/// decides how long an activation lives, thus the memory. Weight-gradient halves fill what would be idle, or make room.
/// <list type="bullet">
/// <item>ZB-V: in the memory of 1F1B's first stage, 2p stages' activations. With equal parts and m ≥ p the step takes 6m + p − 1
/// units: no step that ends with a barrier can be shorter.</item>
/// <item>V-Half: 2·⌊(p+2)/2⌋, about half of that memory, and about half of 1F1B's bubble.</item>
/// <item>V-Min: 2·⌊(p+4)/3⌋, about a third, and between half and three quarters of 1F1B's bubble.</item>
/// </list>
/// The figures hold for equal parts; the orders are valid for any.
/// </summary>
public sealed class VSchedule : IScheduleGenerator
{
    private const int Interval = 6;

    private readonly Func<int, int> _credit;
    private readonly Func<int, BuildingBlock> _block;

    private VSchedule(string name, string summary, Func<int, int> credit, Func<int, BuildingBlock> block)
    {
        Name = name;
        Summary = summary;
        _credit = credit;
        _block = block;
    }

    /// <summary>ZB-V.</summary>
    public static VSchedule ZeroBubble { get; } = new(
        "zb-v", "two stages per rank in a V, split backward; least bubble in 1F1B's memory",
        ranks => 2 * ranks, _ => new([1, 5, 1, 5], [0, 0, 0]));

    /// <summary>V-Half.</summary>
    public static VSchedule Half { get; } = new(
        "v-half", "the V in half of 1F1B's memory; about half of its bubble",
        ranks => 2 * ((ranks + 2) / 2), ranks => new([1, 2, 1, 2], int.IsEvenInteger(ranks) ? [3, 1, 3] : [0, 0, 1]));

    /// <summary>V-Min.</summary>
    public static VSchedule Minimum { get; } = new(
        "v-min", "the V in a third of 1F1B's memory; up to three quarters of its bubble",
        ranks => 2 * ((ranks + 4) / 3), ranks => new([1, 1, 1, 1], ranks % 3 == 0 ? [2, 0, 2] : [0, 0, 0]));

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public string Summary { get; }

    /// <inheritdoc/>
    public bool UsesSplitBackward => true;

    /// <inheritdoc/>
    public StagesPerRank StagesPerRank => StagesPerRank.Two;

    /// <inheritdoc/>
    public Schedule Generate(ScheduleShape shape)
    {
        StagesPerRank.Require(Name, shape);
        var policy = new PatternPolicy(_credit(shape.RankCount), [.. Enumerable.Range(0, shape.RankCount).Select(rank => Pattern(rank, shape))]);
        return new Schedule(
            Name, ScheduleMode.Train, shape.MicroBatchCount, shape.VPlacement,
            OrderBuilder.Run(shape, shape.VPlacement, OrderCosts.Equal, policy));
    }

    /// <inheritdoc/>
    public ScheduleLimits LimitsFor(ScheduleShape shape) => new(
        MailboxCapacity: Math.Min(shape.MicroBatchCount, Math.Max(1, shape.RankCount)),
        [.. Enumerable.Repeat(Math.Min(_credit(shape.RankCount), 2 * shape.MicroBatchCount), shape.RankCount)]);

    // The rank's forwards and input-gradient halves of all micro-batches, by the time of the repeated block.
    private StageAction[] Pattern(int rank, ScheduleShape shape)
    {
        var starts = _block(shape.RankCount).StartsOn(rank, shape.RankCount);
        var last = shape.StageCount - 1 - rank;
        (int Start, Func<int, StageAction> Action)[] parts =
        [
            (starts[0], microBatch => ScheduleRows.Forward(rank, microBatch)),
            (starts[1], microBatch => ScheduleRows.Forward(last, microBatch)),
            (starts[2], microBatch => ScheduleRows.InputGradient(last, microBatch)),
            (starts[3], microBatch => ScheduleRows.InputGradient(rank, microBatch)),
        ];
        return [.. Enumerable.Range(0, shape.MicroBatchCount)
            .SelectMany(microBatch => parts.Select(part => (Time: part.Start + ((long)Interval * microBatch), Action: part.Action(microBatch))))
            .OrderBy(entry => entry.Time).Select(entry => entry.Action)];
    }

    /// <summary>
    /// One micro-batch's way: <paramref name="Hops"/> are the times from rank to rank in each of the four passes (down and up
    /// forward, down and up backward), <paramref name="Turns"/> the pauses between one pass and the next on the rank where it
    /// turns. Chosen so that no two passes fall on the same moment modulo six on any rank.
    /// </summary>
    private sealed record BuildingBlock(ImmutableArray<int> Hops, ImmutableArray<int> Turns)
    {
        public int[] StartsOn(int rank, int rankCount)
        {
            var (down, up, last) = (rank, rankCount - 1 - rank, rankCount - 1);
            var forwardUp = (last * Hops[0]) + 1 + Turns[0];
            var backwardDown = forwardUp + (last * Hops[1]) + 1 + Turns[1];
            var backwardUp = backwardDown + (last * Hops[2]) + 1 + Turns[2];
            return [down * Hops[0], forwardUp + (up * Hops[1]), backwardDown + (down * Hops[2]), backwardUp + (up * Hops[3])];
        }
    }

    /// <summary>Follows the pattern; runs a weight-gradient half where the next action cannot run or has no memory.</summary>
    private sealed class PatternPolicy(int credit, StageAction[][] patterns) : IOrderPolicy
    {
        private readonly int[] _next = new int[patterns.Length];

        public StageAction? Choose(OrderBuilder state, int rank)
        {
            if (_next[rank] < patterns[rank].Length && CanRun(state, rank, patterns[rank][_next[rank]]))
                return patterns[rank][_next[rank]++];
            return state.HasPendingWeight(rank) ? state.OldestWeight(rank) : null;
        }

        private bool CanRun(OrderBuilder state, int rank, StageAction next) => next.Kind is ActionKind.Forward
            ? state.Held(rank) < credit && state.IsForwardReady(next.Stage, out _)
            : state.IsGradientReady(next.Stage, out _);
    }
}
