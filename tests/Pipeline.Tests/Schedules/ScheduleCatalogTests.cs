using CsCheck;
using Pipeline.Schedules;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Schedules;

/// <summary>What holds for every kind that a user can name.</summary>
public sealed class ScheduleCatalogTests
{
    public static TheoryData<string> Names => [.. ScheduleCatalog.All.Select(generator => generator.Name)];

    /// <summary>A change of any order shows as a difference of these files.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Golden_of_three_ranks_and_five_micro_batches(string name) =>
        Golden.AssertEqual($"{name}-p3-m5.csv", ScheduleCatalog.Generate(name, 3, 5).ToString(), "Schedules");

    [Theory]
    [MemberData(nameof(Names))]
    public void No_step_is_shorter_than_the_bound_of_one_with_a_barrier(string name)
    {
        var generator = ScheduleCatalog.Get(name);
        foreach (var (forward, input, weight) in ((double, double, double)[])[(1, 1, 1), (1, 1.2, 0.75), (1, 0.5, 2), (3, 1, 1), (1, 2.3, 0.5)])
            for (var ranks = 1; ranks <= 16; ranks += ranks < 6 ? 1 : 5)
                for (var microBatches = 1; microBatches <= 64; microBatches += microBatches < 16 ? 1 : 16)
                {
                    AssertNotBelow(generator, new ScheduleShape(ranks, microBatches, generator.StagesPerRank.Default), forward, input, weight);
                    // All other numbers of stages a rank, in smaller sizes.
                    foreach (var stages in Enumerable.Range(1, 4).Where(stages => stages != generator.StagesPerRank.Default && generator.StagesPerRank.Allows(stages) && ranks < 6 && microBatches < 16))
                        AssertNotBelow(generator, new ScheduleShape(ranks, microBatches, stages), forward, input, weight);
                }

        static void AssertNotBelow(IScheduleGenerator generator, ScheduleShape shape, double forward, double input, double weight)
        {
            var costs = ActionCosts.Uniform(shape.StageCount, forward, input + weight).With(ActionKind.InputGradient, input).With(ActionKind.WeightGradient, weight);
            // The last rank cannot begin before a forward of each rank before it, and then has all its own work to do.
            var bound = (shape.MicroBatchCount * shape.VirtualStagesPerRank * (forward + input + weight)) + ((shape.RankCount - 1) * forward);
            Assert.True(Simulator.Run(generator.Generate(shape), new SimulationModel { Costs = costs }).Duration >= bound - 1e-9, $"{generator.Name}, {shape}");
        }
    }

    /// <summary>
    /// The shortest step of any order under the same memory, found by searching all of them: with parts of one unit each a step is
    /// a walk over the counts of what is done. Schedules whose backwards stay whole, or come in fixed pairs, are longer by what that costs.
    /// </summary>
    [Theory]
    [InlineData("zb-h1", 2, 4, 0)]
    [InlineData("zb-h1", 3, 4, 0)]
    [InlineData("zb-h2", 2, 4, 0)]
    [InlineData("zb-h2", 3, 5, 0)]
    [InlineData("zb-v", 2, 3, 0)]
    [InlineData("greedy", 2, 4, 0)]
    [InlineData("greedy", 3, 4, 1)]
    [InlineData("v-min", 2, 3, 2)]
    [InlineData("v-half", 2, 3, 1)]
    [InlineData("1f1b", 2, 4, 1)]
    [InlineData("gpipe", 2, 3, 2)]
    [InlineData("gpipe", 3, 3, 4)]
    [InlineData("interleaved-1f1b", 2, 2, 2)]
    [InlineData("looped-bfs", 2, 2, 2)]
    [InlineData("dualpipe-v", 2, 2, 2)]
    [InlineData("dualpipe-v", 2, 3, 2)]
    public void For_the_smallest_sizes_the_step_is_as_short_as_an_exhaustive_search_finds_it(string name, int ranks, int microBatches, int longerBy)
    {
        var schedule = ScheduleCatalog.Generate(name, ranks, microBatches);
        var limits = ScheduleLimits.PromisedBy(schedule);
        var least = ShortestStep.Find(schedule.RankOfStage, microBatches, [.. ScheduleValidator.PeakInFlight(schedule)]);
        var found = Simulator.Run(schedule, new SimulationModel { Costs = ActionCosts.Uniform(schedule.StageCount) }).Duration;
        Assert.Equal(least + longerBy, found, 1e-9);
        Assert.True(limits.MailboxCapacity >= ScheduleValidator.RequiredMailboxCapacity(schedule));
    }

    [Fact]
    public void Leaving_out_micro_batches_leaves_a_schedule_that_can_run() =>
        ScheduleSamples.Shapes(4, 8).Sample(sample =>
        {
            var schedule = sample.Generator.Generate(sample.Shape);
            var half = (sample.Shape.MicroBatchCount + 1) / 2;
            var part = new Schedule("part", schedule.Mode, half, schedule.RankOfStage,
                [.. schedule.Actions.Select(row => row.RemoveAll(action => action.MicroBatch >= half))]);
            Assert.Empty(ScheduleValidator.Validate(part));
        });
}
