using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Schedules;

namespace Pipeline.Training;

/// <summary>
/// Divides the units of a running plan anew by what its ranks were measured to need. What each rank needed is held against what it should have: the units of its
/// stages cost as many times more as it took longer, and are then cut by the same search that plans use, with the speed of each rank's node and within its memory. Where a plan
/// has said what its ranks should need and they do, nothing is divided anew. Pure.
/// </summary>
/// <param name="plan">What is trained, and what was planned of it.</param>
/// <param name="layout">How it is spread.</param>
/// <param name="tokensPerMicroBatch">Samples of a micro-batch times their length; 0 where memory is not known.</param>
internal sealed class MeasuredDivision(TrainingPlan plan, RunLayout layout, long tokensPerMicroBatch = 0)
{
    // What ranks hold depends on the order of their actions, which the search knows a bound of: where it finds too much, it is run again with less.
    private static readonly double[] s_shares = [1, 0.9, 0.8, 0.65, 0.5];

    private readonly int _rankCount = layout.Schedule.RankCount;

    /// <summary>The division to make; null where there is no better one.</summary>
    /// <param name="unitCounts">Units of each stage so far.</param>
    /// <param name="rankSeconds">By rank of all replicas, measured.</param>
    /// <param name="rankRoom">By rank of all replicas, the bytes that it may take; empty where that is not known.</param>
    internal UnitDivision? For(IReadOnlyList<int> unitCounts, IReadOnlyList<double> rankSeconds, IReadOnlyList<long>? rankRoom = null)
    {
        if (rankSeconds.Any(seconds => seconds <= 0)) return null;
        var replicaCount = rankSeconds.Count / _rankCount;
        // All replicas hold the same stages: what a rank needs is what its likes need on average, and what it may take is the least of what they may.
        double[] measured = [.. OfPlace(rankSeconds).Select(seconds => seconds.Average())];
        if (plan.Planned is { } planned && planned.AreMet(unitCounts, measured)) return null;
        long[] room = rankRoom is { Count: > 0 } && rankRoom.Count >= rankSeconds.Count ? [.. OfPlace(rankRoom.Take(rankSeconds.Count)).Select(bytes => bytes.Min())] : [];
        var costs = Scaled(unitCounts, measured);
        foreach (var share in room.Length == 0 ? [1] : s_shares)
        {
            if (Cut(costs, share, room) is not { } counts || RunLayout.For(plan, counts, replicaCount) is not { } found) continue;
            if (!Fits(found, room)) continue;
            return found.Division(1 - (RankTimes(costs, counts).Max() / RankTimes(costs, unitCounts).Max()));
        }

        return null;
    }

    /// <summary>By unit, what it needs in a step on a node of speed 1, if the units of a rank were all misjudged alike.</summary>
    private double[] Scaled(IReadOnlyList<int> unitCounts, double[] measured)
    {
        var planned = plan.Planned is { } known && known.UnitSeconds.Count == plan.Units.Count ? known : null;
        double[] expected = [.. (planned?.UnitSeconds ?? plan.Units.Select(unit => unit.Cost)).Select(cost => Math.Max(cost, double.Epsilon))];
        var ranks = RankOfUnit(unitCounts);
        // A plan knows what actions cost besides their units; without one, or for other stages than its own, it counts as if units did.
        var predicted = planned is not null && planned.UnitCounts.SequenceEqual(unitCounts) && planned.RankSeconds.Count == _rankCount ? planned.RankSeconds : RankTimes(expected, unitCounts);
        return [.. expected.Select((cost, unit) => cost * (measured[ranks[unit]] / predicted[ranks[unit]]))];
    }

    private int[]? Cut(double[] costs, double share, long[] room)
    {
        var rankOfStage = layout.Schedule.RankOfStage;
        var perRank = (double)rankOfStage.Length / _rankCount;
        var held = ScheduleValidator.PeakInFlight(layout.Schedule);
        NodeCapacity[] nodes = [.. rankOfStage.Select(rank => new NodeCapacity(SpeedOf(rank), room.Length == 0 ? long.MaxValue / 4 : (long)(Math.Max(0, room[rank]) * share / perRank)))];
        var cut = room.Length == 0 && nodes.Distinct().Count() == 1
            ? Partitioner.Partition(costs, rankOfStage.Length)
            : NodePartitioner.InOrder([.. plan.Units.Select((unit, index) => Demand(unit, costs[index]))], nodes, [.. rankOfStage.Select(rank => (int)Math.Ceiling(held[rank] / perRank))]);
        return cut?.Select(range => range.Count).ToArray();
    }

    // As MemoryEstimate has it, which judges what is found.
    private UnitDemand Demand(Unit unit, double cost) => new(
        cost,
        (long)(unit.Parameters.Sum(spec => spec.ElementCount) * MemoryEstimate.ParameterBytesOf(plan, layout)),
        (long)(unit.KeptElementsPerToken * tokensPerMicroBatch * (plan.Precision is Precision.Bf16 ? 2 : 4)));

    private bool Fits(RunLayout found, long[] room) =>
        room.Length == 0 || tokensPerMicroBatch == 0 || MemoryEstimate.Of(plan with { ReplicaCount = found.ReplicaCount }, found, tokensPerMicroBatch, isSpread: true).RankBytes.Take(_rankCount).Zip(room, (bytes, most) => bytes <= most).All(fits => fits);

    private double[] RankTimes(double[] costs, IReadOnlyList<int> unitCounts)
    {
        var times = new double[_rankCount];
        foreach (var (unit, rank) in RankOfUnit(unitCounts).Index()) times[rank] += costs[unit] / SpeedOf(rank);
        return times;
    }

    private double SpeedOf(int rank) => plan.Planned is { } known && known.RankSeconds.Count == _rankCount && rank < known.RankSpeeds.Count ? known.RankSpeeds[rank] : 1;

    private int[] RankOfUnit(IReadOnlyList<int> unitCounts) => [.. unitCounts.SelectMany((count, stage) => Enumerable.Repeat(layout.Schedule.RankOfStage[stage], count))];

    private IEnumerable<T[]> OfPlace<T>(IEnumerable<T> ofRanks) => ofRanks.Index().GroupBy(one => one.Index % _rankCount).OrderBy(place => place.Key).Select(place => place.Select(one => one.Item).ToArray());
}
