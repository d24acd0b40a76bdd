using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// Cuts a chain of units into contiguous stages. <see cref="Partition"/> minimises the cost of the dearest stage exactly,
/// by dynamic programming. Among the cuts that reach this minimum it takes the most even one (least sum of squared stage
/// costs), and among equally even ones that with fewer units in the first stages, since these hold the most micro-batches
/// in flight.
/// </summary>
public static class Partitioner
{
    // Costs become integers whose sum is below 2^52 by a factor that is a power of two: sums are then exact, so that
    // ties are ties and the result does not depend on the order of additions.
    private const int TotalBits = 52;

    /// <param name="unitCosts">The cost of each unit, in any one unit of measure; finite, not negative.</param>
    /// <param name="stageCount">The number of stages over all ranks.</param>
    /// <returns>For each stage its units, at least one.</returns>
    /// <exception cref="ScheduleException">There are more stages than units, or a cost is not a finite number from 0.</exception>
    public static ImmutableArray<UnitRange> Partition(IReadOnlyList<double> unitCosts, int stageCount)
    {
        RequireSizes(unitCosts.Count, stageCount);
        var sums = CumulativeCosts(unitCosts);
        return MostEven(sums, stageCount, SmallestBottleneck(sums, stageCount));
    }

    /// <summary>A partition that the user states as the number of units of each stage.</summary>
    /// <exception cref="ScheduleException">A stage is empty, or the counts do not add up to the number of units.</exception>
    public static ImmutableArray<UnitRange> FromCounts(int unitCount, IReadOnlyList<int> countPerStage)
    {
        RequireSizes(unitCount, countPerStage.Count);
        if (countPerStage.Any(count => count < 1) || countPerStage.Sum(count => (long)count) != unitCount)
            throw new ScheduleException(
                $"The partition [{string.Join(", ", countPerStage)}] does not fit: expected {countPerStage.Count} counts of at least 1 that add up " +
                $"to the model's {unitCount} units, found a sum of {countPerStage.Sum(count => (long)count)}. Change pipeline.schedule.partition.");
        var ranges = ImmutableArray.CreateBuilder<UnitRange>(countPerStage.Count);
        foreach (var count in countPerStage)
            ranges.Add(new UnitRange(ranges.Count == 0 ? 0 : ranges[^1].End, count));
        return ranges.MoveToImmutable();
    }

    private static void RequireSizes(int unitCount, int stageCount)
    {
        if (stageCount < 1)
            throw new ScheduleException($"Cannot split {unitCount} units into {stageCount} stages: expected at least 1 stage. Raise pipeline.parallelism.pipeline.");
        if (stageCount > unitCount)
            throw new ScheduleException(
                $"Cannot split {unitCount} units into {stageCount} stages: each stage needs at least one unit. " +
                "Lower pipeline.parallelism.pipeline or add layers.");
    }

    // sums[i] is the scaled cost of the first i units.
    private static long[] CumulativeCosts(IReadOnlyList<double> unitCosts)
    {
        for (var unit = 0; unit < unitCosts.Count; unit++)
            if (!double.IsFinite(unitCosts[unit]) || unitCosts[unit] < 0)
                throw new ScheduleException($"Unit {unit} has the cost {unitCosts[unit]}: expected a finite number from 0.");
        var largest = unitCosts.Max();
        var bits = TotalBits - 1 - (int)Math.Ceiling(Math.Log2(unitCosts.Count));
        var sums = new long[unitCosts.Count + 1];
        for (var unit = 0; unit < unitCosts.Count; unit++)
        {
            var scaled = largest == 0 ? 0 : Math.ScaleB(unitCosts[unit], bits - Math.ILogB(largest) - 1);
            sums[unit + 1] = sums[unit] + (long)Math.Round(scaled, MidpointRounding.ToEven);
        }

        return sums;
    }

    // best[i] = the least possible cost of the dearest of k stages over the first i units, for k = 1, 2, …
    private static long SmallestBottleneck(long[] sums, int stageCount)
    {
        var unitCount = sums.Length - 1;
        var best = (long[])sums.Clone();
        for (var stages = 2; stages <= stageCount; stages++)
        {
            var next = new long[best.Length];
            for (var end = stages; end <= unitCount; end++)
                next[end] = BestLastCut(sums, best, stages - 1, end);
            best = next;
        }

        return best[unitCount];
    }

    // best[cut] rises with the cut and the last stage's cost falls, so the least maximum lies where they cross.
    private static long BestLastCut(long[] sums, long[] best, int firstCut, int end)
    {
        var (low, high) = (firstCut, end - 1);
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            if (best[middle] >= sums[end] - sums[middle])
                high = middle;
            else
                low = middle + 1;
        }

        var atCrossing = Math.Max(best[low], sums[end] - sums[low]);
        return low == firstCut ? atCrossing : Math.Min(atCrossing, Math.Max(best[low - 1], sums[end] - sums[low - 1]));
    }

    // Backwards over the stages: squares[start] = the least sum of squares of the remaining stages over units start.., none
    // of them dearer than the bottleneck. The shortest first stage among equals gives the lexicographically least counts.
    private static ImmutableArray<UnitRange> MostEven(long[] sums, int stageCount, long bottleneck)
    {
        var unitCount = sums.Length - 1;
        var squares = new UInt128[unitCount + 1];
        Array.Fill(squares, UInt128.MaxValue, 0, unitCount);
        var ends = new int[stageCount][];
        for (var stage = stageCount - 1; stage >= 0; stage--)
        {
            var before = new UInt128[unitCount + 1];
            Array.Fill(before, UInt128.MaxValue);
            ends[stage] = new int[unitCount + 1];
            for (var start = stage; start < unitCount; start++)
                (before[start], ends[stage][start]) = BestEnd(sums, squares, start, bottleneck);
            squares = before;
        }

        var ranges = ImmutableArray.CreateBuilder<UnitRange>(stageCount);
        for (int stage = 0, start = 0; stage < stageCount; start = ends[stage++][start])
            ranges.Add(new UnitRange(start, ends[stage][start] - start));
        return ranges.MoveToImmutable();
    }

    private static (UInt128 Squares, int End) BestEnd(long[] sums, UInt128[] squares, int start, long bottleneck)
    {
        var best = (Squares: UInt128.MaxValue, End: start);
        for (var end = start + 1; end < sums.Length && sums[end] - sums[start] <= bottleneck; end++)
        {
            if (squares[end] == UInt128.MaxValue)
                continue;
            var cost = (UInt128)(ulong)(sums[end] - sums[start]);
            var total = squares[end] + (cost * cost);
            if (total < best.Squares)
                best = (total, end);
        }

        return best;
    }
}
