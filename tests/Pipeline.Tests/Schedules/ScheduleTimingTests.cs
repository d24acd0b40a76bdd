using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class ScheduleTimingTests
{
    // Sums of at most a few hundred doubles of like size.
    private const double Tolerance = 1e-9;

    [Fact]
    public void With_equal_stages_gpipe_and_1f1b_have_the_bubble_of_the_closed_form()
    {
        foreach (var generator in (IScheduleGenerator[])[new GPipe(), new OneForwardOneBackward()])
            for (var ranks = 1; ranks <= 16; ranks++)
                for (var microBatches = 1; microBatches <= 64; microBatches += microBatches < 20 ? 1 : 11)
                    foreach (var (forward, backward) in ((double, double)[])[(1, 2), (1, 1), (3, 1), (1, 2.3)])
                    {
                        var costs = ActionCosts.Uniform(ranks, forward, backward);
                        var timeline = ScheduleTiming.Predict(generator.Generate(new ScheduleShape(ranks, microBatches)), costs);
                        Assert.Equal((microBatches + ranks - 1) * (forward + backward), timeline.Duration, Tolerance);
                        var step = Simulator.Run(timeline.Schedule, new SimulationModel { Costs = costs });
                        Assert.Equal((microBatches + ranks - 1) * (forward + backward), step.Duration, Tolerance);
                        Assert.Equal((ranks - 1.0) / (microBatches + ranks - 1), step.BubbleShare, Tolerance);
                        Assert.Equal((ranks - 1.0) / (microBatches + ranks - 1), timeline.BubbleShare, Tolerance);
                    }
    }

    [Fact]
    public void Busy_wait_and_bubble_add_up_to_the_step_and_no_action_starts_before_its_input_arrives() =>
        Gen.Select(ScheduleSamples.Training(5, 7), Gen.Double[0.1, 3].Array[30], Gen.Double[0, 2]).Sample((schedule, random, latency) =>
        {
            var costs = ActionCosts.PerStage([.. random.Take(schedule.StageCount)], [.. random.Skip(15).Take(schedule.StageCount)], latency)
                .With(ActionKind.TiedSum, 0.5).With(ActionKind.Norm, 0.25).With(ActionKind.Optimizer, 1);
            var timeline = ScheduleTiming.Predict(schedule, costs);
            foreach (var usage in timeline.Usage)
            {
                Assert.Equal(timeline.Duration, usage.Busy + usage.Wait + usage.Bubble, Tolerance);
                Assert.True(usage is { Busy: > 0, Wait: >= 0, Bubble: >= 0 });
                Assert.Equal(timeline.Rows[usage.Rank].Sum(span => span.Duration), usage.Busy, Tolerance);
            }

            var ends = timeline.Spans.ToDictionary(span => span.Action, span => span.End);
            foreach (var span in timeline.Spans)
                if (span.Action is { Kind: ActionKind.Forward, Stage: > 0 } action)
                    Assert.True(span.Start >= ends[action with { Stage = action.Stage - 1 }] + (schedule.RankOfStage[action.Stage] != schedule.RankOfStage[action.Stage - 1] ? latency : 0));
            foreach (var row in timeline.Rows)
                Assert.All(row.Zip(row.Skip(1)), pair => Assert.True(pair.Second.Start >= pair.First.End));
        });

    [Fact]
    public void A_hop_counts_as_wait_and_the_upstream_s_work_as_bubble()
    {
        var schedule = ScheduleCatalog.Generate("gpipe", new ScheduleShape(2, 1));
        var timeline = ScheduleTiming.Predict(schedule, ActionCosts.Uniform(2, forward: 1, backward: 2, hopLatency: 0.25));
        Assert.Equal(6.5, timeline.Duration);
        Assert.Equal(new RankUsage(0, Busy: 3, Wait: 0.25, Bubble: 3.25), timeline.Usage[0]);
        Assert.Equal(new RankUsage(1, Busy: 3, Wait: 0.25, Bubble: 3.25), timeline.Usage[1]);
        Assert.Equal(7.0 / 13.0, timeline.BubbleShare, Tolerance);
    }

    [Fact]
    public void The_optimizer_waits_for_all_norms_and_the_tied_sum_for_all_tied_stages()
    {
        var schedule = StepEndPass.Apply(ScheduleCatalog.Generate("1f1b", new ScheduleShape(3, 2)), [0, 2]);
        var costs = ActionCosts.Uniform(3).With(ActionKind.TiedSum, 1).With(ActionKind.Norm, 1).With(ActionKind.Optimizer, 1);
        var timeline = ScheduleTiming.Predict(schedule, costs);
        var starts = timeline.Spans.ToDictionary(span => span.Action.ToString(), span => span.Start, StringComparer.Ordinal);
        var lastBackward = timeline.Spans.Where(span => span.Action.Kind is ActionKind.Backward).Max(span => span.End);
        Assert.Equal(lastBackward, starts["0T"]);
        Assert.Equal(lastBackward, starts["2T"]);
        Assert.Equal(lastBackward - 2, starts["1N"]);
        Assert.All((string[])["0O", "1O", "2O"], optimizer => Assert.Equal(lastBackward + 2, starts[optimizer]));
    }

    [Fact]
    public void Measured_spans_of_a_predicted_step_give_the_same_usage() =>
        Gen.Select(ScheduleSamples.Training(4, 6), Gen.Double[0, 1]).Sample((schedule, latency) =>
        {
            var predicted = ScheduleTiming.Predict(schedule, ActionCosts.Uniform(schedule.StageCount, hopLatency: latency));
            var measured = Timeline.FromSpans(schedule, predicted.Spans.Reverse().Select(span => span with { Start = span.Start + 100, End = span.End + 100 }));
            Assert.Equal(predicted.BubbleShare, measured.BubbleShare, Tolerance);
            foreach (var (first, second) in predicted.Usage.Zip(measured.Usage))
            {
                Assert.Equal(first.Busy, second.Busy, Tolerance);
                Assert.Equal(first.Wait, second.Wait, Tolerance);
                Assert.Equal(first.Bubble, second.Bubble, Tolerance);
            }
        });

    [Fact]
    public void A_measured_step_may_begin_before_its_first_action_and_end_after_its_last()
    {
        var schedule = ForwardOnly.Generate(new ScheduleShape(1, 1));
        var timeline = Timeline.FromSpans(schedule, [new ActionSpan(0, StageAction.Parse("0F0"), 11, 13)], start: 10, end: 14);
        Assert.Equal(new RankUsage(0, Busy: 2, Wait: 1, Bubble: 1), Assert.Single(timeline.Usage));
        Assert.Throws<ArgumentException>(() => Timeline.FromSpans(schedule, []));
        Assert.Throws<ArgumentException>(() => Timeline.FromSpans(schedule, [new ActionSpan(1, StageAction.Parse("0F0"), 0, 1)]));
    }

    [Fact]
    public void A_schedule_that_blocks_has_no_prediction()
    {
        var crossed = new Schedule("crossed", ScheduleMode.Train, 1, [0, 1], [[StageAction.Parse("0B0"), StageAction.Parse("0F0")], [StageAction.Parse("1F0"), StageAction.Parse("1B0")]]);
        Assert.Throws<ScheduleException>(() => ScheduleTiming.Predict(crossed, ActionCosts.Uniform(2)));
    }

    [Fact]
    public void Costs_that_are_no_costs_are_refused()
    {
        Assert.Throws<ArgumentException>(() => ActionCosts.Uniform(1, forward: -1));
        Assert.Throws<ArgumentException>(() => ActionCosts.PerStage([1], [1, 2]));
        Assert.Throws<ArgumentException>(() => ActionCosts.Uniform(2).With(ActionKind.Norm, [double.NaN, 0]));
    }
}
