using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Coordinator;

public sealed class RebalanceWatchTests
{
    private static readonly IReadOnlyList<int> s_even = [4, 4];
    private static readonly IReadOnlyList<int> s_other = [3, 5];

    [Fact]
    public void A_division_is_asked_for_once_and_only_after_two_windows_in_a_row_that_agree()
    {
        var watch = new RebalanceWatch(new RebalancePolicy(RebalanceKind.Propose, 3), 2);
        var asked = Enumerable.Range(1, 18).Where(step => Step(watch, step, 2, 1, _ => new UnitDivision(s_other, "", 0.2)) is not null);
        Assert.Equal([6], asked);
    }

    [Fact]
    public void Windows_that_do_not_agree_or_would_gain_little_ask_for_nothing()
    {
        var (watch, windows) = (new RebalanceWatch(new RebalancePolicy(RebalanceKind.Auto, 2), 2), 0);
        for (var step = 1; step <= 12; step++)
            Assert.Null(Step(watch, step, 2, 1, _ => new UnitDivision(windows++ % 2 == 0 ? s_other : [2, 6], "", 0.2)));
        for (var step = 13; step <= 20; step++)
            Assert.Null(Step(watch, step, 2, 1, _ => new UnitDivision(s_other, "", 0.04)));
        Assert.True(windows > 0);
    }

    [Fact]
    public void What_was_measured_before_units_moved_is_forgotten_and_a_single_slow_step_says_nothing()
    {
        var watch = new RebalanceWatch(RebalancePolicy.None, 2);
        for (var step = 1; step <= 9; step++) Assert.Null(Step(watch, step, step == 5 ? 100 : 2, 1, _ => new UnitDivision(s_other, "", 0.5)));
        Assert.Equal([2, 1], watch.Seconds);
        watch.Restart();
        Assert.Equal([0, 0], watch.Seconds);
    }

    [Fact]
    public void A_rank_that_needs_twice_as_long_gets_fewer_units_and_the_gain_is_what_it_saves()
    {
        var plan = TinyRun.Plan(2, 2);
        var layout = RunLayout.For(plan);
        var division = MeasuredDivision.For(plan, layout, layout.UnitCounts, [2, 1])!;
        Assert.True(division.UnitCounts[0] < layout.UnitCounts[0]);
        Assert.InRange(division.Gain, 0.05, 0.5);
        Assert.Null(MeasuredDivision.For(plan, layout, layout.UnitCounts, [0, 1]));
    }

    [Fact]
    public void Ranks_that_need_what_their_plan_says_keep_their_units_though_it_means_them_to_differ()
    {
        var plan = TinyRun.Plan(2, 2);
        var layout = RunLayout.For(plan);
        var planned = plan with { Planned = new PlannedTimes(layout.UnitCounts, [0.4, 0.2]) };
        // Twice as slow as planned, but both of them.
        Assert.Null(MeasuredDivision.For(planned, layout, layout.UnitCounts, [0.8, 0.41]));
        Assert.NotNull(MeasuredDivision.For(plan, layout, layout.UnitCounts, [0.8, 0.41]));
        // The second one turns out slow: equal times are not what was planned.
        Assert.NotNull(MeasuredDivision.For(planned, layout, layout.UnitCounts, [0.4, 0.4]));
        // The plan says nothing of other units.
        Assert.NotNull(MeasuredDivision.For(planned with { Planned = new PlannedTimes([99], [0.4, 0.2]) }, layout, layout.UnitCounts, [0.8, 0.41]));
    }

    private static UnitDivision? Step(RebalanceWatch watch, int step, double first, double second, Func<IReadOnlyList<double>, UnitDivision?> divide)
    {
        watch.Enter([Report(0, step, first), Report(1, step, second)]);
        return watch.Consider(s_even, (_, seconds) => divide(seconds));
    }

    private static StepCompleted Report(int rank, long step, double busySeconds) => StepLedgerTests.Report(rank, step) with { Timing = new StepTiming(busySeconds + 1, busySeconds, 1) };
}
