using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

/// <summary>Theory of the V-shaped kinds: memory and makespan for equal parts, which is what their promises are about.</summary>
public sealed class VScheduleTests
{
    private const double Tolerance = 1e-9;

    [Fact]
    public void Zb_v_reaches_the_bound_of_a_step_with_a_barrier_in_the_memory_of_1f1b()
    {
        for (var ranks = 1; ranks <= 16; ranks++)
            for (var microBatches = ranks; microBatches <= 64; microBatches += 5)
            {
                var timeline = Predict(VSchedule.ZeroBubble, ranks, microBatches);
                Assert.Equal((6 * microBatches) + ranks - 1, timeline.Duration, Tolerance);
                Assert.All(ScheduleValidator.PeakInFlight(timeline.Schedule), peak => Assert.InRange(peak, 1, 2 * ranks));
                Assert.Equal(2 * ranks, ScheduleValidator.PeakInFlight(timeline.Schedule).Max());
            }
    }

    [Fact]
    public void V_half_and_v_min_hold_what_their_closed_forms_say()
    {
        for (var ranks = 1; ranks <= 16; ranks++)
            for (var microBatches = 4 * ranks; microBatches <= 64; microBatches++)
            {
                Assert.Equal(2 * ((ranks + 2) / 2), ScheduleValidator.PeakInFlight(VSchedule.Half.Generate(new ScheduleShape(ranks, microBatches, 2))).Max());
                Assert.Equal(2 * ((ranks + 4) / 3), ScheduleValidator.PeakInFlight(VSchedule.Minimum.Generate(new ScheduleShape(ranks, microBatches, 2))).Max());
            }
    }

    [Fact]
    public void V_half_has_about_half_and_v_min_at_most_three_quarters_of_the_bubble_of_1f1b()
    {
        for (var ranks = 3; ranks <= 16; ranks++)
        {
            var microBatches = 4 * ranks;
            var ofOneF1B = 6.0 * (ranks - 1);
            Assert.InRange(Bubble(VSchedule.Half) / ofOneF1B, 0.3, 0.6);
            Assert.InRange(Bubble(VSchedule.Minimum) / ofOneF1B, 0.5, 0.77);

            double Bubble(VSchedule kind) => Predict(kind, ranks, microBatches).Duration - (6 * microBatches);
        }
    }

    [Fact]
    public void Dualpipe_v_of_fewer_micro_batches_is_that_of_2p_without_the_later_ones()
    {
        var whole = new DualPipeV().Generate(new ScheduleShape(3, 6, 2));
        var part = new DualPipeV().Generate(new ScheduleShape(3, 2, 2));
        for (var rank = 0; rank < 3; rank++)
            Assert.Equal<StageAction>(whole.Actions[rank].Where(action => action.MicroBatch < 2), part.Actions[rank]);
    }

    [Fact]
    public void Dualpipe_v_has_the_bubble_of_its_paper()
    {
        // (p/2 − 1)(F&B + B − 3W) on p devices, which are 2 ranks of a V each: here the forward and the backward of a pair run
        // one after the other, F&B = F + B, for each of the 2(p−1) edges of p ranks. Measured: never above it.
        for (var ranks = 1; ranks <= 12; ranks++)
            foreach (var microBatches in (int[])[2 * ranks, 3 * ranks, 4 * ranks])
            {
                var timeline = Predict(new DualPipeV(), ranks, microBatches);
                Assert.InRange(timeline.Duration - (6 * microBatches), ranks - 1, 2 * (ranks - 1));
            }
    }

    [Theory]
    [InlineData(4, 8, 4, 29)]
    [InlineData(4, 16, 4, 53)]
    [InlineData(8, 32, 8, 105)]
    [InlineData(8, 64, 8, 201)]
    [InlineData(4, 8, 7, 27)]
    [InlineData(4, 16, 7, 51)]
    [InlineData(8, 32, 15, 103)]
    [InlineData(8, 64, 15, 199)]
    public void Greedy_under_a_credit_takes_the_time_that_a_plain_list_scheduler_takes(int ranks, int microBatches, int credit, double expected)
    {
        var schedule = new Greedy().Generate(new ScheduleShape(ranks, microBatches) { MemoryCredit = credit });
        Assert.Equal(expected, ScheduleTiming.Predict(schedule, SplitCosts(schedule.StageCount)).Duration, Tolerance);
        Assert.All(ScheduleValidator.PeakInFlight(schedule), peak => Assert.InRange(peak, 1, credit));
    }

    [Fact]
    public void Greedy_comes_to_its_end_with_any_credit_that_covers_the_stages_of_a_rank()
    {
        for (var ranks = 1; ranks <= 4; ranks++)
            for (var microBatches = 1; microBatches <= 7; microBatches++)
                for (var virtualStages = 1; virtualStages <= 3; virtualStages++)
                    for (var credit = 1; credit <= 8; credit++)
                    {
                        var shape = new ScheduleShape(ranks, microBatches, virtualStages) { MemoryCredit = credit };
                        if (credit < virtualStages)
                            Assert.Contains("pipeline.schedule.memory-credit", Assert.Throws<ScheduleException>(() => new Greedy().Generate(shape)).Message, StringComparison.Ordinal);
                        else
                            Assert.Empty(ScheduleValidator.Validate(new Greedy().Generate(shape), new Greedy().LimitsFor(shape)));
                    }
    }

    private static Timeline Predict(IScheduleGenerator generator, int ranks, int microBatches)
    {
        var schedule = generator.Generate(new ScheduleShape(ranks, microBatches, generator.StagesPerRank.Default));
        return Simulated(ScheduleTiming.Predict(schedule, SplitCosts(schedule.StageCount)), SplitCosts(schedule.StageCount));
    }

    // What is held against the closed forms is what the event simulator finds, too.
    private static Timeline Simulated(Timeline timeline, ActionCosts costs)
    {
        Assert.Equal(timeline.Duration, Simulator.Run(timeline.Schedule, new SimulationModel { Costs = costs }).Duration, Tolerance);
        return timeline;
    }

    private static ActionCosts SplitCosts(int stageCount) => ActionCosts.Uniform(stageCount, forward: 1, backward: 2);
}
