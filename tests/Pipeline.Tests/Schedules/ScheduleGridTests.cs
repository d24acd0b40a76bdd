using System.Text.Json;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class ScheduleGridTests
{
    [Fact]
    public void Golden_1f1b_of_four_ranks_and_eight_micro_batches() => Assert.Equal(
        """
        1f1b: 4 ranks, 8 micro-batches
        rank 0  F0 F1 F2 F3  .  .  .  .  .  . B0 -- F4 B1 -- F5 B2 -- F6 B3 -- F7 B4 --  . B5 --  . B6 --  . B7 --
        rank 1   . F0 F1 F2  .  .  .  . B0 -- F3 B1 -- F4 B2 -- F5 B3 -- F6 B4 -- F7 B5 --  . B6 --  . B7 --  .  .
        rank 2   .  . F0 F1  .  . B0 -- F2 B1 -- F3 B2 -- F4 B3 -- F5 B4 -- F6 B5 -- F7 B6 --  . B7 --  .  .  .  .
        rank 3   .  .  . F0 B0 -- F1 B1 -- F2 B2 -- F3 B3 -- F4 B4 -- F5 B5 -- F6 B6 -- F7 B7 --  .  .  .  .  .  .
        step 33, bubble 27.3 % (idle 36 of 4 × 33)

        """,
        Grid("1f1b", 4, 8));

    [Fact]
    public void Golden_gpipe_of_four_ranks_and_eight_micro_batches() => Assert.Equal(
        """
        gpipe: 4 ranks, 8 micro-batches
        rank 0  F0 F1 F2 F3 F4 F5 F6 F7  .  .  .  .  .  .  .  .  . B0 -- B1 -- B2 -- B3 -- B4 -- B5 -- B6 -- B7 --
        rank 1   . F0 F1 F2 F3 F4 F5 F6 F7  .  .  .  .  .  . B0 -- B1 -- B2 -- B3 -- B4 -- B5 -- B6 -- B7 --  .  .
        rank 2   .  . F0 F1 F2 F3 F4 F5 F6 F7  .  .  . B0 -- B1 -- B2 -- B3 -- B4 -- B5 -- B6 -- B7 --  .  .  .  .
        rank 3   .  .  . F0 F1 F2 F3 F4 F5 F6 F7 B0 -- B1 -- B2 -- B3 -- B4 -- B5 -- B6 -- B7 --  .  .  .  .  .  .
        step 33, bubble 27.3 % (idle 36 of 4 × 33)

        """,
        Grid("gpipe", 4, 8));

    [Fact]
    public void Fewer_micro_batches_than_ranks_are_drawn() => Assert.Equal(
        """
        1f1b: 3 ranks, 1 micro-batch
        rank 0  F0  .  .  .  .  .  . B0 --
        rank 1   . F0  .  .  . B0 --  .  .
        rank 2   .  . F0 B0 --  .  .  .  .
        step 9, bubble 66.7 % (idle 18 of 3 × 9)

        """,
        Grid("1f1b", 3, 1));

    [Fact]
    public void Stages_stand_in_front_where_ranks_hold_several_and_long_tables_are_cut()
    {
        var timeline = ScheduleTiming.Predict(ForwardOnly.Generate(new ScheduleShape(2, 2, 2)), ActionCosts.Uniform(4));
        Assert.Equal(
            """
            forward-only: 2 ranks, 4 stages, 2 micro-batches
            rank 0  0F0 0F1 2F0 …
            rank 1    . 1F0 1F1 …
            step 5, bubble 20.0 % (idle 2 of 2 × 5)

            """,
            ScheduleGrid.Render(timeline, maxColumnCount: 3));
    }

    [Fact]
    public void A_column_is_the_longest_time_that_divides_all_durations()
    {
        var schedule = ScheduleCatalog.Generate("1f1b", new ScheduleShape(1, 1));
        Assert.Contains("rank 0  F0 -- B0 -- --\n", ScheduleGrid.Render(ScheduleTiming.Predict(schedule, ActionCosts.Uniform(1, 1, 1.5))), StringComparison.Ordinal);
    }

    [Fact]
    public void The_view_becomes_plain_json()
    {
        var timeline = ScheduleTiming.Predict(ScheduleCatalog.Generate("1f1b", new ScheduleShape(1, 1)), ActionCosts.Uniform(1));
        Assert.Equal(
            """{"name":"1f1b","rankCount":1,"stageCount":1,"microBatchCount":1,"duration":3,"bubbleShare":0,"ranks":[{"rank":0,"stages":[0],"busy":3,"wait":0,"bubble":0,"peakInFlight":1,"spans":[{"action":"0F0","start":0,"end":1},{"action":"0B0","start":1,"end":3}]}]}""",
            JsonSerializer.Serialize(ScheduleView.Of(timeline), JsonSerializerOptions.Web));
    }

    private static string Grid(string name, int ranks, int microBatches) =>
        ScheduleGrid.Render(ScheduleTiming.Predict(ScheduleCatalog.Generate(name, new ScheduleShape(ranks, microBatches)), ActionCosts.Uniform(ranks)));
}
