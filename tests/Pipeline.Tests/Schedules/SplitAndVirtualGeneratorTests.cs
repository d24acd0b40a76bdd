using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

/// <summary>Generators with split backwards or several stages per rank: validity and theory.</summary>
public sealed class SplitAndVirtualGeneratorTests
{
    private const double Tolerance = 1e-9;

    private static readonly IScheduleGenerator[] Generators = [.. ScheduleCatalog.All.Where(generator => generator.UsesSplitBackward || generator.StagesPerRank.Maximum > 1)];

    public static TheoryData<string> Names => [.. Generators.Select(generator => generator.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_shape_is_valid_within_the_promised_limits(string name)
    {
        var generator = Array.Find(Generators, candidate => string.Equals(candidate.Name, name, StringComparison.Ordinal))!;
        var mailbox = new List<(int Promised, int Required)>();
        for (var ranks = 1; ranks <= 8; ranks++)
            for (var microBatches = 1; microBatches <= 18; microBatches++)
                foreach (var virtualStages in Enumerable.Range(1, 4).Where(generator.StagesPerRank.Allows))
                {
                    var shape = new ScheduleShape(ranks, microBatches, virtualStages);
                    var schedule = generator.Generate(shape);
                    var problems = ScheduleValidator.Validate(schedule, generator.LimitsFor(shape));
                    Assert.True(problems.IsEmpty, $"{ranks} ranks, {microBatches} micro-batches, {virtualStages} stages: {string.Join("; ", problems.Take(3))}");
                    Assert.True(generator.UsesSplitBackward || !schedule.UsesSplitBackward);
                    Assert.Equal(schedule, ScheduleText.Parse(schedule.ToString()));
                    mailbox.Add((generator.LimitsFor(shape).MailboxCapacity, ScheduleValidator.RequiredMailboxCapacity(schedule)));
                }

        if (generator is not Greedy)
            Assert.Contains(mailbox, capacity => capacity.Promised == capacity.Required);
    }

    /// <summary>The order in which PyTorch 2.6 runs Interleaved1F1B of this shape.</summary>
    [Fact]
    public void Golden_interleaved_1f1b_of_two_ranks_with_two_stages_and_four_micro_batches() => Assert.Equal(
        """
        # schedule name=interleaved-1f1b mode=train micro-batches=4 ranks-of-stages=0,1,0,1
        0F0,0F1,2F0,2F1,0F2,2B0,0F3,2B1,2F2,0B0,2F3,0B1,2B2,2B3,0B2,0B3
        1F0,1F1,3F0,3B0,3F1,3B1,1F2,1B0,1F3,1B1,3F2,3B2,3F3,3B3,1B2,1B3

        """,
        new Interleaved().Generate(new ScheduleShape(2, 4, 2)).ToString());

    [Fact]
    public void Golden_zb_h1_of_three_ranks_and_five_micro_batches() => Assert.Equal(
        """
        # schedule name=zb-h1 mode=train micro-batches=5 ranks-of-stages=0,1,2
        0F0,0F1,0F2,0I0,0W0,0F3,0I1,0W1,0F4,0I2,0W2,0I3,0W3,0I4,0W4
        1F0,1F1,1I0,1F2,1I1,1W0,1F3,1I2,1W1,1F4,1I3,1W2,1I4,1W3,1W4
        2F0,2I0,2F1,2I1,2F2,2I2,2W0,2F3,2I3,2W1,2F4,2I4,2W2,2W3,2W4

        """,
        ZeroBubble.H1.Generate(new ScheduleShape(3, 5)).ToString());

    [Fact]
    public void With_one_stage_per_rank_interleaved_is_1f1b_and_breadth_first_is_gpipe()
    {
        for (var ranks = 1; ranks <= 5; ranks++)
            for (var microBatches = 1; microBatches <= 8; microBatches++)
            {
                var shape = new ScheduleShape(ranks, microBatches);
                Assert.Equal(new OneForwardOneBackward().Generate(shape).Actions.SelectMany(row => row), new Interleaved().Generate(shape).Actions.SelectMany(row => row));
                Assert.Equal(new GPipe().Generate(shape).Actions.SelectMany(row => row), new LoopedBreadthFirst().Generate(shape).Actions.SelectMany(row => row));
            }
    }

    [Fact]
    public void Interleaving_divides_the_bubble_by_the_stages_per_rank_where_ranks_divide_micro_batches()
    {
        foreach (var generator in (IScheduleGenerator[])[new Interleaved(), new LoopedBreadthFirst()])
            for (var ranks = 1; ranks <= 16; ranks++)
                for (var groups = 1; groups * ranks <= 64; groups += groups < 5 ? 1 : 7)
                    for (var virtualStages = 1; virtualStages <= 4; virtualStages++)
                    {
                        var shape = new ScheduleShape(ranks, groups * ranks, virtualStages);
                        var timeline = Predict(generator.Generate(shape), ActionCosts.Uniform(shape.StageCount));
                        Assert.Equal(((shape.MicroBatchCount * virtualStages) + ranks - 1) * 3.0, timeline.Duration, Tolerance);
                    }
    }

    [Fact]
    public void Interleaved_1f1b_holds_what_its_closed_form_says_on_every_rank_and_most_on_the_first_pv_plus_p_minus_one()
    {
        for (var ranks = 2; ranks <= 16; ranks++)
            for (var virtualStages = 2; virtualStages <= 4; virtualStages++)
                for (var groups = 2; groups * ranks <= 64; groups++)
                    Assert.Equal<int>(
                        Enumerable.Range(0, ranks).Select(rank => ((virtualStages - 1) * ranks) + (2 * (ranks - 1 - rank)) + 1),
                        ScheduleValidator.PeakInFlight(new Interleaved().Generate(new ScheduleShape(ranks, groups * ranks, virtualStages))));
    }

    [Fact]
    public void Interleaving_never_loses_to_1f1b_of_the_same_work_from_two_groups_on()
    {
        for (var ranks = 2; ranks <= 6; ranks++)
            for (var microBatches = 2 * ranks; microBatches <= 30; microBatches++)
                foreach (var virtualStages in (int[])[2, 3])
                {
                    var shape = new ScheduleShape(ranks, microBatches, virtualStages);
                    var timeline = Predict(new Interleaved().Generate(shape), ActionCosts.Uniform(shape.StageCount, 1.0 / virtualStages, 2.0 / virtualStages));
                    Assert.InRange(timeline.Duration, (3.0 * microBatches) + (3.0 * (ranks - 1) / virtualStages) - 1e-9, 3.0 * (microBatches + ranks - 1) - 1e-9);
                }
    }

    [Fact]
    public void Zb_h1_has_the_bubble_of_the_closed_form_in_the_memory_of_1f1b()
    {
        for (var ranks = 1; ranks <= 16; ranks++)
            for (var microBatches = ranks; microBatches <= 64; microBatches += microBatches < ranks + 6 ? 1 : 7)
                foreach (var (forward, input, weight) in ((double, double, double)[])[(1, 1, 1), (1, 1.2, 0.75), (1, 2.3, 0.5), (2, 1, 0.5), (0.5, 1, 1), (0.1, 1, 1), (1, 1, 0)])
                {
                    var timeline = Predict(ZeroBubble.H1, ranks, microBatches, forward, input, weight);
                    Assert.Equal((microBatches * (forward + input + weight)) + ((ranks - 1) * (input + Math.Max(0, forward - weight))), timeline.Duration, Tolerance);
                    Assert.All(ScheduleValidator.PeakInFlight(timeline.Schedule), peak => Assert.Equal(ranks, peak));
                }
    }

    [Fact]
    public void Zb_h2_reaches_the_bound_of_a_step_with_a_barrier_when_all_parts_cost_the_same()
    {
        for (var ranks = 1; ranks <= 12; ranks++)
            for (var microBatches = (2 * ranks) - 1; microBatches <= 40; microBatches += 3)
            {
                var timeline = Predict(ZeroBubble.H2, ranks, microBatches, 1, 1, 1);
                Assert.Equal((microBatches * 3) + ranks - 1, timeline.Duration, Tolerance);
                Assert.All(timeline.Rows, row => Assert.Equal(microBatches * 3, row[^1].End - row[0].Start, Tolerance));
                Assert.All(ScheduleValidator.PeakInFlight(timeline.Schedule), peak => Assert.Equal((2 * ranks) - 1, peak));
            }
    }

    [Fact]
    public void No_split_schedule_is_faster_than_the_bound_of_a_step_with_a_barrier()
    {
        foreach (var generator in (IScheduleGenerator[])[ZeroBubble.H1, ZeroBubble.H2])
            for (var ranks = 1; ranks <= 6; ranks++)
                for (var microBatches = 1; microBatches <= 14; microBatches++)
                    foreach (var (forward, input, weight) in ((double, double, double)[])[(1, 1, 1), (1, 1.2, 0.75), (1, 0.5, 2), (3, 1, 1)])
                        Assert.True(Predict(generator, ranks, microBatches, forward, input, weight).Duration
                            >= (microBatches * (forward + input + weight)) + ((ranks - 1) * forward) - 1e-9);
    }

    private static Timeline Predict(IScheduleGenerator generator, int ranks, int microBatches, double forward, double input, double weight) => Predict(
        generator.Generate(new ScheduleShape(ranks, microBatches)),
        ActionCosts.Uniform(ranks, forward, input + weight).With(ActionKind.InputGradient, input).With(ActionKind.WeightGradient, weight));

    // What is held against the closed forms is what the event simulator finds, too.
    private static Timeline Predict(Schedule schedule, ActionCosts costs)
    {
        var timeline = ScheduleTiming.Predict(schedule, costs);
        Assert.Equal(timeline.Duration, Simulator.Run(schedule, new SimulationModel { Costs = costs }).Duration, Tolerance);
        return timeline;
    }
}
