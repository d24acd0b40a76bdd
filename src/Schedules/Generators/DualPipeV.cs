using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// DualPipe-V (Li et al. 2025, after the DualPipe of the DeepSeek-V3 report, section 3.2.1): the V placement, whose steady
/// state pairs a forward of one of the rank's stages with a backward of the other, so that each hides the other's
/// communication. Most backwards run whole; only those at the edges of the step are split, to fill what would be idle.
/// </summary>
/// <remarks>
/// Made for m ≥ 2p. For fewer micro-batches it is the order of 2p with the later ones left out: what is left of an order that
/// can run can run, since micro-batches depend on one another in nothing.
/// </remarks>
public sealed class DualPipeV : IScheduleGenerator
{
    /// <inheritdoc/>
    public string Name => "dualpipe-v";

    /// <inheritdoc/>
    public string Summary => "two stages per rank in a V, a forward beside each backward; splits at the edges only";

    /// <inheritdoc/>
    public bool UsesSplitBackward => true;

    /// <inheritdoc/>
    public StagesPerRank StagesPerRank => StagesPerRank.Two;

    /// <inheritdoc/>
    public Schedule Generate(ScheduleShape shape)
    {
        StagesPerRank.Require(Name, shape);
        return new Schedule(
            Name, ScheduleMode.Train, shape.MicroBatchCount, shape.VPlacement,
            [.. Enumerable.Range(0, shape.RankCount).Select(rank => Row(rank, shape))]);
    }

    /// <inheritdoc/>
    public ScheduleLimits LimitsFor(ScheduleShape shape) => new(
        MailboxCapacity: Math.Min(shape.MicroBatchCount, 2 * shape.RankCount),
        [.. Enumerable.Repeat(Math.Min((2 * shape.RankCount) + 1, 2 * shape.MicroBatchCount), shape.RankCount)]);

    private static ImmutableArray<StageAction> Row(int rank, ScheduleShape shape)
    {
        var row = new RowBuilder(rank, shape);
        var (later, count) = (shape.RankCount - rank - 1, Math.Max(shape.MicroBatchCount, 2 * shape.RankCount));

        // Warm-up: the first stage's forwards, then both stages'.
        row.Repeat(2 * later, () => row.Forward(0));
        row.Repeat(rank + 1, () => row.Forward(0).Forward(1));
        // The second stage's backwards begin, split, so that the ranks before get their gradients early.
        row.Repeat(later, () => row.SplitBackward(1).RunWeight().Forward(1));
        // The steady state, and then its second half alone when the first stage's forwards have run out.
        row.Repeat(count - (2 * shape.RankCount) + rank + 1, () => row.Forward(0).Backward(1).Forward(1).Backward(0));
        row.Repeat(later, () => row.Backward(1).Forward(1).Backward(0));
        // Cool-down: from its middle on, weight-gradient halves are kept back for the end.
        for (var index = 0; index <= rank; index++)
        {
            var (half, isOdd) = ((rank + 1) / 2, int.IsOddInteger(rank));
            row.Backward(1, isSplit: index > half || (index == half && isOdd));
            row.Backward(0, isSplit: index >= half);
        }

        row.Repeat(later, () => row.RunWeight().SplitBackward(0));
        return row.Finish();
    }

    /// <summary>Writes a rank's actions: each stage's forwards and backwards in micro-batch order, weights first in, first out.</summary>
    private sealed class RowBuilder(int rank, ScheduleShape shape)
    {
        private readonly ImmutableArray<StageAction>.Builder _row = ImmutableArray.CreateBuilder<StageAction>();
        private readonly Queue<StageAction> _weights = new();
        private readonly int[] _forwards = new int[2];
        private readonly int[] _backwards = new int[2];

        public void Repeat(int count, Action action)
        {
            for (var index = 0; index < count; index++)
                action();
        }

        public RowBuilder Forward(int chunk) => Add(ScheduleRows.Forward(StageOf(chunk), _forwards[chunk]++));

        public RowBuilder Backward(int chunk, bool isSplit = false) =>
            isSplit ? SplitBackward(chunk) : Add(ScheduleRows.Backward(StageOf(chunk), _backwards[chunk]++));

        public RowBuilder SplitBackward(int chunk)
        {
            var action = ScheduleRows.InputGradient(StageOf(chunk), _backwards[chunk]++);
            _weights.Enqueue(ScheduleRows.WeightGradient(action.Stage, action.MicroBatch));
            return Add(action);
        }

        public RowBuilder RunWeight() => Add(_weights.Dequeue());

        public ImmutableArray<StageAction> Finish()
        {
            while (_weights.TryDequeue(out var weight))
                Add(weight);
            return _row.ToImmutable();
        }

        private int StageOf(int chunk) => chunk == 0 ? rank : shape.StageCount - 1 - rank;

        private RowBuilder Add(StageAction action)
        {
            if (action.MicroBatch < shape.MicroBatchCount)
                _row.Add(action);
            return this;
        }
    }
}
