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
        var division = new MeasuredDivision(plan, layout).For(layout.UnitCounts, [2, 1])!;
        Assert.True(division.UnitCounts[0] < layout.UnitCounts[0]);
        Assert.InRange(division.Gain, 0.05, 0.5);
        Assert.Null(new MeasuredDivision(plan, layout).For(layout.UnitCounts, [0, 1]));
    }

    [Fact]
    public void Ranks_that_need_what_their_plan_says_keep_their_units_though_it_means_them_to_differ()
    {
        var plan = TinyRun.Plan(2, 2);
        var layout = RunLayout.For(plan);
        var planned = plan with { Planned = new PlannedTimes(layout.UnitCounts, [0.4, 0.2]) };
        // Twice as slow as planned, but both of them.
        Assert.Null(Divide(planned, [0.8, 0.41]));
        Assert.NotNull(Divide(plan, [0.8, 0.41]));
        // The second one turns out slow: equal times are not what was planned.
        Assert.NotNull(Divide(planned, [0.4, 0.4]));
        // The plan says nothing of other units.
        Assert.NotNull(Divide(planned with { Planned = new PlannedTimes([99], [0.4, 0.2]) }, [0.8, 0.41]));

        UnitDivision? Divide(TrainingPlan of, IReadOnlyList<double> seconds) => new MeasuredDivision(of, layout).For(layout.UnitCounts, seconds);
    }

    [Fact]
    public void Units_of_a_rank_that_takes_longer_than_planned_cost_as_much_more_wherever_they_go()
    {
        // Eight units that should need 1 each, four a rank; those of the second need three times that: 4 and 12 become 7 and 9, since the unit that goes takes its 3 along.
        var plan = Planned([4, 4], [1, 1, 1, 1, 1, 1, 1, 1], [4, 4]);
        var division = new MeasuredDivision(plan, RunLayout.For(plan)).For([4, 4], [4, 12])!;
        Assert.Equal([5, 3], division.UnitCounts);
        Assert.Equal(1 - (9.0 / 12), division.Gain, 9);
        // Where all take three times as long, the machine is slow, and no unit would do better elsewhere.
        Assert.Null(new MeasuredDivision(plan, RunLayout.For(plan)).For([4, 4], [12, 12]));
    }

    [Fact]
    public void What_actions_cost_besides_their_units_is_no_reason_to_move_units()
    {
        // The ranks of the plan need 1 more each than their units: that is what it said.
        var plan = Planned([2, 6], [3, 3, 1, 1, 1, 1, 1, 1], [7, 7]);
        var layout = RunLayout.For(plan);
        var division = new MeasuredDivision(plan, layout).For([2, 6], [7, 7.8])!;
        // A tenth more on the second: its units cost 6.7 beside 6, and a third of the first's would be more than they save.
        Assert.Equal([2, 6], division.UnitCounts);
        Assert.Equal(0, division.Gain, 9);
    }

    [Fact]
    public void A_unit_that_changes_hands_takes_longer_on_a_slower_node()
    {
        // The first node is three times as fast and has six units of eight, so that both need 2.
        var plan = Planned([6, 2], [1, 1, 1, 1, 1, 1, 1, 1], [2, 2], [3, 1]);
        var layout = RunLayout.For(plan);
        // It is held up by something else and needs nearly twice as long. One unit less would be 3.25, but 1.95 more on the slow one make 3.95 there: no gain.
        var division = new MeasuredDivision(plan, layout).For([6, 2], [3.9, 2])!;
        Assert.Equal([6, 2], division.UnitCounts);
        // Were the nodes alike, units would move.
        var alike = Planned([6, 2], [1, 1, 1, 1, 1, 1, 1, 1], [6, 2]);
        Assert.NotEqual([6, 2], new MeasuredDivision(alike, layout).For([6, 2], [12, 2])!.UnitCounts);
    }

    [Fact]
    public void A_cut_that_memory_forced_is_not_proposed_away()
    {
        const long Tokens = 8;
        var plan = TinyRun.Plan(2, 2) with { UnitCounts = [1, 7] };
        var layout = RunLayout.For(plan);
        var bytes = MemoryEstimate.Of(plan, layout, Tokens, isSpread: true).RankBytes;
        MeasuredDivision division = new(plan, layout, Tokens);
        // The second rank takes seven times as long. With room there is a better cut, without there is none; between the two there is what fits.
        var roomy = division.For([1, 7], [1, 7], [long.MaxValue / 4, long.MaxValue / 4])!;
        Assert.True(roomy.UnitCounts[0] > 2);
        Assert.Equal(0, division.For([1, 7], [1, 7], [bytes[0], bytes[1]])?.Gain ?? 0, 1e-9);
        var two = MemoryEstimate.Of(plan with { UnitCounts = [2, 6] }, RunLayout.For(plan with { UnitCounts = [2, 6] }), Tokens, isSpread: true).RankBytes;
        Assert.Equal([2, 6], division.For([1, 7], [1, 7], [two[0], bytes[1]])!.UnitCounts);
        // Of two replicas the one with less room counts.
        var twice = plan with { ReplicaCount = 2 };
        MeasuredDivision both = new(twice, RunLayout.For(twice), Tokens);
        var room = long.MaxValue / 4;
        Assert.True(both.For([1, 7], [1, 7, 1, 7], [room, room, room, room])!.UnitCounts[0] > 2);
        Assert.Null(both.For([1, 7], [1, 7, 1, 7], [room, room, 1, room]));
    }

    /// <summary>Eight units over two ranks, with what a plan has said of them.</summary>
    private static TrainingPlan Planned(IReadOnlyList<int> counts, IReadOnlyList<double> unitSeconds, IReadOnlyList<double> rankSeconds, IReadOnlyList<double>? speeds = null) => TinyRun.Plan(2, 2) with
    {
        UnitCounts = counts,
        Planned = new PlannedTimes(counts, rankSeconds) { UnitSeconds = unitSeconds, RankSpeeds = speeds ?? [] },
    };

    private static UnitDivision? Step(RebalanceWatch watch, int step, double first, double second, Func<IReadOnlyList<double>, UnitDivision?> divide)
    {
        watch.Enter([Report(0, step, first), Report(1, step, second)]);
        return watch.Consider(s_even, divide);
    }

    private static StepCompleted Report(int rank, long step, double busySeconds) => StepLedgerTests.Report(rank, step) with { Timing = new StepTiming(busySeconds + 1, busySeconds, 1) };
}
