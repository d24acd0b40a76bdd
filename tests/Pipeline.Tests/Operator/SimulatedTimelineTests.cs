using Pipeline.Coordinator;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>What schedules alone make of the actions that were measured.</summary>
public sealed class SimulatedTimelineTests
{
    private static readonly SimulatedStep s_two = Simulated("1f1b", 2, forward: 1), s_fast = Simulated("gpipe", 1, forward: 2), s_slow = Simulated("gpipe", 1, forward: 3);

    [Fact]
    public void Replicas_with_stages_of_their_own_have_each_its_own_schedule_and_durations_and_the_step_ends_with_the_longest()
    {
        SimulatedStep[] replicas = [s_two, s_fast, s_slow];
        var status = Status() with { ReplicaSchedules = [.. replicas.Select(replica => ScheduleText.Format(replica.Schedule))] };
        var simulated = SimulatedTimeline.Of(status, [Measured(replicas)])!;
        Assert.Equal(replicas.Max(replica => replica.Duration), simulated.Seconds, 1e-5);
        Assert.Equal(36, simulated.Seconds, 1e-5);
        var ranks = simulated.Json(100)["ranks"]!.AsArray();
        Assert.Equal([0, 1, 2, 3], ranks.Select(rank => rank!["rank"]!.GetValue<int>()));
        Assert.Equal(s_fast.Duration, ranks[2]!["spans"]!.AsArray()[^1]!["end"]!.GetValue<double>(), 1e-5);
        double[] ends = [.. new[] { 0, 1, 2, 3 }.Select(rank => simulated.Of(rank).Spans.Last().End)];
        Assert.Equal(s_two.Duration, Math.Max(ends[0], ends[1]), 1e-5);
        Assert.Equal(24, ends[2], 1e-5);
        Assert.Equal(36, ends[3], 1e-5);
        Assert.Equal(1 - (24.0 / 36), simulated.Of(2).Idle, 1e-5);
    }

    [Fact]
    public void Replicas_that_are_alike_have_one_simulation_with_their_means()
    {
        var status = Status() with { Schedule = ScheduleText.Format(s_fast.Schedule) };
        var simulated = SimulatedTimeline.Of(status, [Measured([s_fast, s_slow])])!;
        Assert.Equal((s_fast.Duration + s_slow.Duration) / 2, simulated.Seconds, 1e-5);
        Assert.Single(simulated.Json(100)["ranks"]!.AsArray());
    }

    [Fact]
    public void Steps_of_other_stages_than_the_runs_are_not_simulated()
    {
        Assert.Null(SimulatedTimeline.Of(Status(), [Measured([s_fast])]));
        Assert.Null(SimulatedTimeline.Of(Status() with { Schedule = ScheduleText.Format(s_fast.Schedule) }, [Measured([s_two])]));
        Assert.Null(SimulatedTimeline.Of(Status() with { ReplicaSchedules = [ScheduleText.Format(s_two.Schedule), ScheduleText.Format(s_fast.Schedule)] }, [Measured([s_two])]));
    }

    private static SimulatedStep Simulated(string kind, int ranks, double forward)
    {
        var schedule = ScheduleCatalog.Generate(kind, ranks, 4);
        return Simulator.Run(schedule, new SimulationModel { Costs = ActionCosts.Uniform(schedule.StageCount, forward, 2 * forward) });
    }

    private static StepSummary Measured(SimulatedStep[] replicas)
    {
        IReadOnlyList<ExecutedSpan>[] ranks = [.. replicas.SelectMany(replica => Enumerable.Range(0, replica.Schedule.RankCount).Select(rank => (IReadOnlyList<ExecutedSpan>)
            [.. replica.Spans(rank).Select(span => new ExecutedSpan(span.Action.ToString(), 0, Ticks(span.Start), Ticks(span.End)))]))];
        return new StepSummary(1, 1, 1, 1, 4, 1, 0, [.. ranks.Select((spans, rank) => new RankSummary(rank, new StepTiming(1, 1, 0), 0, spans))], []);

        static long Ticks(double seconds) => (long)Math.Round(seconds * SimulatedTimeline.TicksPerSecond);
    }

    private static RunStatus Status() => new(Generation.First, 1, 1, 0, [], [], "running");
}
