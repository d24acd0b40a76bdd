using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class PartitionerTests
{
    // Costs are rounded to 2^-47 of the largest or better, a sum of 12 of them differs by less than this share.
    private const double RoundingShare = 1e-12;

    private static readonly Gen<double> Cost = Gen.OneOf(Gen.Int[0, 6].Select(cost => (double)cost), Gen.Double[0, 1], Gen.Double[0, 1e9]);

    [Fact]
    public void The_dearest_stage_is_as_cheap_as_the_best_of_all_cuts() =>
        Gen.Select(Cost.Array[1, 12], Gen.Int[1, 12]).Sample((costs, wanted) =>
        {
            var stageCount = Math.Min(wanted, costs.Length);
            var partition = Partitioner.Partition(costs, stageCount);
            Assert.Equal(stageCount, partition.Length);
            Assert.All(partition, range => Assert.True(range.Count >= 1));
            Assert.Equal(costs.Length, partition[^1].End);
            for (var stage = 1; stage < stageCount; stage++)
                Assert.Equal(partition[stage - 1].End, partition[stage].Start);

            var best = AllCuts(costs.Length, stageCount).Min(counts => Dearest(costs, counts));
            Assert.InRange(partition.Max(range => costs[range.Start..range.End].Sum()), 0, best + (costs.Max() * costs.Length * RoundingShare));
        }, iter: 3_000);

    [Fact]
    public void Among_the_best_cuts_the_most_even_one_wins_and_then_the_one_with_the_lightest_first_stages() =>
        Gen.Select(Gen.Int[0, 4].Array[1, 9], Gen.Int[1, 9]).Sample((costs, wanted) =>
        {
            double[] exact = [.. costs.Select(cost => (double)cost)];
            var stageCount = Math.Min(wanted, costs.Length);
            var expected = AllCuts(costs.Length, stageCount)
                .OrderBy(counts => Dearest(exact, counts))
                .ThenBy(counts => StageSums(exact, counts).Sum(cost => cost * cost))
                .ThenBy(counts => string.Concat(counts), StringComparer.Ordinal)
                .First();
            Assert.Equal(expected, Partitioner.Partition(exact, stageCount).Select(range => range.Count));
        }, iter: 2_000);

    [Theory]
    [InlineData(10, 4, "2 2 3 3")]
    [InlineData(10, 3, "3 3 4")]
    [InlineData(8, 4, "2 2 2 2")]
    [InlineData(5, 1, "5")]
    [InlineData(3, 3, "1 1 1")]
    public void Equal_units_are_spread_evenly_with_the_rest_at_the_end(int unitCount, int stageCount, string expected) =>
        Assert.Equal(expected, Counts(Enumerable.Repeat(0.1, unitCount), stageCount));

    [Fact]
    public void A_heavy_head_leaves_its_stage_with_fewer_units() =>
        Assert.Equal("4 3 2", Counts([0.2, 1, 1, 1, 1, 1, 1, 1, 3], 3));

    [Fact]
    public void Two_thousand_units_on_a_thousand_stages_are_cut_at_once()
    {
        double[] costs = [.. Enumerable.Range(0, 2_048).Select(unit => 1.0 + (unit % 7))];
        Assert.Equal(1_024, Partitioner.Partition(costs, 1_024).Length);
    }

    [Fact]
    public void More_stages_than_units_are_refused()
    {
        var error = Assert.Throws<ScheduleException>(() => Partitioner.Partition([.. Enumerable.Repeat(1.0, 10)], 12));
        Assert.Equal(
            "Cannot split 10 units into 12 stages: each stage needs at least one unit. Lower pipeline.parallelism.pipeline or add layers.",
            error.Message);
        Assert.Throws<ScheduleException>(() => Partitioner.Partition([1.0], 0));
    }

    [Theory]
    [InlineData(-1.0)]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_cost_that_is_no_cost_is_refused(double cost) =>
        Assert.Contains("Unit 1", Assert.Throws<ScheduleException>(() => Partitioner.Partition([1.0, cost], 1)).Message, StringComparison.Ordinal);

    [Fact]
    public void An_explicit_partition_is_taken_or_refused()
    {
        Assert.Equal<UnitRange>([new UnitRange(0, 3), new UnitRange(3, 1)], Partitioner.FromCounts(4, [3, 1]));
        Assert.Contains("found a sum of 5", Assert.Throws<ScheduleException>(() => Partitioner.FromCounts(4, [3, 2])).Message, StringComparison.Ordinal);
        Assert.Throws<ScheduleException>(() => Partitioner.FromCounts(4, [4, 0]));
        Assert.Throws<ScheduleException>(() => Partitioner.FromCounts(2, [1, 1, 1]));
        Assert.Throws<ScheduleException>(() => Partitioner.FromCounts(2, []));
    }

    private static string Counts(IEnumerable<double> costs, int stageCount) =>
        string.Join(' ', Partitioner.Partition([.. costs], stageCount).Select(range => range.Count));

    private static double Dearest(double[] costs, int[] counts) => StageSums(costs, counts).Max();

    private static IEnumerable<double> StageSums(double[] costs, int[] counts)
    {
        var start = 0;
        foreach (var count in counts)
        {
            yield return costs.AsSpan(start, count).ToArray().Sum();
            start += count;
        }
    }

    private static IEnumerable<int[]> AllCuts(int unitCount, int stageCount)
    {
        if (stageCount == 1)
        {
            yield return [unitCount];
            yield break;
        }

        for (var first = 1; first <= unitCount - stageCount + 1; first++)
            foreach (var rest in AllCuts(unitCount - first, stageCount - 1))
                yield return [first, .. rest];
    }
}
