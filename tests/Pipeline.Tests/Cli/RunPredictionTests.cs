using System.Collections.Immutable;
using Pipeline.Cli.Execution;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Schedules;
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
