using System.Collections.Immutable;
using Pipeline.Cli.Execution;
using Pipeline.Coordinator;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>What is said at the end of a run, for runs whose actions take exactly what a simulation says.</summary>
public sealed class RunPredictionTests
{
    private static readonly ModelProfile s_profile = new()
    {
        Source = "measured on paper",
        IsMeasured = true,
        BySize = ImmutableSortedDictionary<int, ImmutableArray<UnitProfile>>.Empty.Add(1, [.. Enumerable.Range(0, 6).Select(Unit)]),
    };

    [Fact]
    public void A_run_that_goes_as_predicted_has_no_error_and_needs_no_other_stages()
    {
        var lines = Lines(new int[] { 3, 3 }, slowStage: -1);
        Assert.Contains("error 0.0 %", lines[0], StringComparison.Ordinal);
        Assert.Contains("error 0.0 %", lines[1], StringComparison.Ordinal);
        Assert.Contains(lines, line => line.StartsWith("rebalance  none", StringComparison.Ordinal));
    }

    [Fact]
    public void A_stage_that_is_twice_as_slow_makes_an_error_and_is_offered_fewer_units()
    {
        var lines = Lines(new int[] { 3, 3 }, slowStage: 1);
        Assert.DoesNotContain("error 0.0 %", lines[0], StringComparison.Ordinal);
        Assert.Contains("error 0.0 %", lines[1], StringComparison.Ordinal);
        Assert.Contains(lines, line => line.Contains("stages of 4,2 units instead of 3,3", StringComparison.Ordinal) && line.Contains("--set schedule.partition=4,2", StringComparison.Ordinal));
    }

    [Fact]
    public void Of_every_rank_busy_wait_and_bubble_are_said_and_make_up_the_step()
    {
        var lines = Lines(new int[] { 3, 3 }, slowStage: -1);
        foreach (var line in lines.Where(line => line.TrimStart().StartsWith("0 ", StringComparison.Ordinal) || line.TrimStart().StartsWith("1 ", StringComparison.Ordinal)))
        {
            var shares = line.Split([' ', '%'], StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(text => double.Parse(text, System.Globalization.CultureInfo.InvariantCulture)).ToArray();
            Assert.InRange(shares[..3].Sum(), 99, 101);
            Assert.InRange(shares[3..].Sum(), 99, 101);
        }
    }

    [Theory]
    [InlineData(true, 0)]
    [InlineData(true, 3)]
    [InlineData(false, null)]
    public void The_error_is_that_of_the_figure_which_applies_to_the_run_and_the_other_is_told_without(bool mayRunAhead, int? waits)
    {
        var schedule = StepEndPass.Apply(ScheduleCatalog.Generate("zb-h2", 2, 4), []);
        var layout = new RunLayout([3, 3], schedule);
        var prediction = new RunPrediction(layout, s_profile, 1, mayRunAhead: mayRunAhead);
        // Without a barrier both ranks are always busy once their shift has settled: 4 × 3 units × (0.25 + 0.25 + 0.25) s; with it the second waits for the first forward.
        var (ahead, waiting) = (9.0, prediction.Step.Duration);
        Assert.Equal(mayRunAhead ? ahead : waiting, prediction.Duration, 1e-9);
        Assert.True(waiting > ahead * 1.05);
        var isAhead = mayRunAhead && waits is 0;
        var lines = prediction.Lines(Times(isAhead ? ahead : waiting), new TracedSteps(), waits).ToArray();
        Assert.StartsWith(System.FormattableString.Invariant($"prediction {(isAhead ? ahead : waiting) * 1e3:0.0} ms a step, measured "), lines[0], StringComparison.Ordinal);
        Assert.EndsWith("error 0.0 %", lines[0], StringComparison.Ordinal);
        if (mayRunAhead)
        {
            Assert.Contains($"median of 3 steps, {3 - waits} of them without waiting for their norm", lines[0], StringComparison.Ordinal);
            Assert.Equal(System.FormattableString.Invariant($"           {(isAhead ? waiting : ahead) * 1e3:0.0} ms for steps that {(isAhead ? "wait" : "do not wait")} for their norm"), lines[1]);
        }

        Assert.DoesNotContain(lines.Skip(1), line => line.Contains("error", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(OptimizerBarrier.Auto, 0.5, "prediction 9000.0 ms a step", "median of 38 steps, 36 of them without")]
    [InlineData(OptimizerBarrier.Auto, 2.0, "prediction 9750.0 ms a step", "median of 38 steps, 0 of them without")]
    [InlineData(OptimizerBarrier.Off, 2.0, "prediction 9000.0 ms a step", "median of 38 steps, 38 of them without")]
    [InlineData(OptimizerBarrier.On, 0.5, "prediction 9750.0 ms a step", "median of 38 steps, 0 of them without")]
    public void Which_steps_waited_follows_from_what_was_set_and_clipped(OptimizerBarrier barrier, double norm, string predicted, string steps)
    {
        var layout = new RunLayout([3, 3], StepEndPass.Apply(ScheduleCatalog.Generate("zb-h2", 2, 4), []));
        var verdict = new RunVerdict(() => new RunPrediction(layout, s_profile, 1, mayRunAhead: true), () => new BarrierChoice(barrier, layout.Schedule), new OptimizerSettings { LearningRate = 1, Warmup = 0, Horizon = 100, Clip = 1 });
        for (var number = 1; number <= 40; number++) verdict.OnNotice(new RunNotice.StepCommitted(new StepSummary(number, 1, norm, 1, 4, 9, 0, [], [])));
        var line = verdict.Lines()[0];
        Assert.StartsWith(predicted, line, StringComparison.Ordinal);
        Assert.Contains(steps, line, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_whose_units_were_divided_anew_is_not_held_against_a_prediction_of_other_stages()
    {
        var layout = new RunLayout([3, 3], StepEndPass.Apply(ScheduleCatalog.Generate("1f1b", 2, 4), []));
        var verdict = new RunVerdict(() => new RunPrediction(layout, s_profile, 1), () => new BarrierChoice(OptimizerBarrier.On, layout.Schedule), new OptimizerSettings { LearningRate = 1, Warmup = 0, Horizon = 100 });
        for (var number = 1; number <= 5; number++) verdict.OnNotice(new RunNotice.StepCommitted(new StepSummary(number, 1, 1, 1, 4, 9, 0, [], [])));
        verdict.OnNotice(new RunNotice.UnitsMoved(5, [2, 4]));
        Assert.Null(verdict.Prediction);
        Assert.Equal("prediction not held against the run: units were divided anew after step 5", verdict.Lines()[0]);
    }

    [Fact]
    public void The_end_of_a_run_says_how_many_steps_were_clipped_and_how_many_begun_anew()
    {
        var layout = new RunLayout([3, 3], StepEndPass.Apply(ScheduleCatalog.Generate("1f1b", 2, 4), []));
        var verdict = new RunVerdict(() => new RunPrediction(layout, s_profile, 1), () => new BarrierChoice(OptimizerBarrier.On, layout.Schedule), new OptimizerSettings { LearningRate = 1, Warmup = 0, Horizon = 100 });
        Assert.Empty(verdict.Lines());
        for (var number = 1; number <= 8; number++)
            verdict.OnNotice(new RunNotice.StepCommitted(new StepSummary(number, 1, 1, 1, 4, 9, 0, [], []) { IsClipped = number % 2 == 0, IsRedone = number == 5 }));
        Assert.StartsWith("clipping   4 of 8 steps were clipped (50.0 %), 1 begun anew", verdict.Lines()[^1], StringComparison.Ordinal);
        Assert.EndsWith("(12.5 %)", verdict.Lines()[^1], StringComparison.Ordinal);
    }

    private static StepTimes Times(double seconds)
    {
        StepTimes times = new();
        for (var number = 1; number <= 5; number++) times.OnNotice(new RunNotice.StepCommitted(new StepSummary(number, 1, 1, 1, 4, seconds, 0, [], [])));
        return times;
    }

    private static List<string> Lines(int[] unitCounts, int slowStage)
    {
        var schedule = StepEndPass.Apply(ScheduleCatalog.Generate("1f1b", 2, 4), []);
        var layout = new RunLayout(unitCounts, schedule);
        var prediction = new RunPrediction(layout, s_profile, 1);
        var costs = StageProfile.Of(s_profile.For(1), Partitioner.FromCounts(6, unitCounts)).Costs;
        foreach (var kind in Enum.GetValues<ActionKind>())
            costs = costs.With(kind, [.. Enumerable.Range(0, 2).Select(stage => costs.Of(new StageAction(stage, kind, 0)) * (stage == slowStage ? 2 : 1))]);
        var step = Simulator.Run(schedule, new SimulationModel { Costs = costs });
        var (times, traced) = (new StepTimes(), new TracedSteps());
        for (var number = 1; number <= 5; number++)
        {
            var notice = new RunNotice.StepCommitted(new StepSummary(
                number, 1, 1, 1, 4, step.Duration, step.BubbleShare,
                [.. Enumerable.Range(0, 2).Select(rank => new RankSummary(rank, new StepTiming(step.Duration, step.Ranks[rank].Busy, 0), 0, number < 3 ? [] : Spans(step, rank, number)))], []));
            times.OnNotice(notice);
            traced.OnNotice(notice);
        }

        return [.. prediction.Lines(times, traced)];
    }

    private static IReadOnlyList<ExecutedSpan> Spans(SimulatedStep step, int rank, int number) => [.. step.Spans(rank)
        .Select(span => new ExecutedSpan(span.Action.ToString(), 0, Ticks(span.Start), Ticks(span.End)))];

    private static long Ticks(double seconds) => (long)Math.Round(seconds * 1e7);

    private static UnitProfile Unit(int index) => new()
    {
        Name = $"unit {index}",
        Forward = 0.25,
        Backward = 0.5,
        InputGradient = 0.25,
        WeightGradient = 0.25,
        Optimizer = 0,
        KeptBytes = 1,
        DeferredBytes = 1,
        OutputBytes = 1,
        StateBytes = 1,
        GradientBytes = 1,
    };
}
