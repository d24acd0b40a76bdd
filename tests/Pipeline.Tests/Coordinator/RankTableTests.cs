using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Coordinator;

public sealed class RankTableTests
{
    [Theory]
    [InlineData("1f1b", 2, new[] { 3, 7, 11 })]
    [InlineData("interleaved-1f1b", 2, new[] { 3 + 17, 7 + 19, 11 + 23 })]
    [InlineData("zb-v", 0, new[] { 3 + 23, 7 + 19, 11 + 17 })]
    public void The_schedule_says_which_rank_has_the_last_stage_and_how_many_units_each_holds(string name, int rankOfLastStage, int[] perRank)
    {
        var ranks = Table(name, replicaCount: 1);
        Assert.Equal(rankOfLastStage, ranks.RankOfStage[^1]);
        Assert.Equal(perRank, Enumerable.Range(0, 3).Select(ranks.UnitCountOf));
    }

    [Fact]
    public void Ranks_of_a_second_replica_hold_what_those_of_the_first_hold()
    {
        var ranks = Table("zb-v", replicaCount: 2);
        Assert.Equal([26, 26, 28, 26, 26, 28], Enumerable.Range(0, 6).Select(ranks.UnitCountOf));
    }

    [Fact]
    public void Another_division_may_come_with_another_schedule()
    {
        var ranks = Table("zb-v", replicaCount: 1);
        Assert.Equal(0, ranks.RankOfStage[^1]);
        ranks.Divide(new UnitDivision([1, 2, 3], ScheduleText.Format(ScheduleCatalog.Generate("1f1b", 3, 4))) { RankBytes = [10, 20, 30] });
        Assert.Equal([10, 20, 30], ranks.RankBytes);
        Assert.Equal(2, ranks.RankOfStage[^1]);
        Assert.Equal([1, 2, 3], Enumerable.Range(0, 3).Select(ranks.UnitCountOf));
    }

    [Fact]
    public void Another_division_may_come_with_another_number_of_replicas_and_without_one_it_stays()
    {
        var ranks = Table("1f1b", replicaCount: 3);
        Assert.Equal((3, 9), (ranks.ReplicaCount, ranks.RankCount));
        OtherReplicas fewer = new(1, [1, 2, 3], ScheduleText.Format(ScheduleCatalog.Generate("1f1b", 3, 3)));
        ranks.Divide(new UnitDivision([1, 2, 3], ranks.Schedule) { ReplicaCount = 2, Others = [fewer] });
        Assert.Equal((2, 6), (ranks.ReplicaCount, ranks.RankCount));
        Assert.Equal([fewer], ranks.Layout.Others);
        ranks.Divide(new UnitDivision([2, 2, 2], ranks.Schedule));
        Assert.Equal((2, 6), (ranks.ReplicaCount, ranks.RankCount));
        Assert.Null(ranks.Layout.Others);
    }

    [Fact]
    public void Units_are_known_by_their_places_in_the_model_whatever_replica_a_rank_belongs_to()
    {
        var ranks = Table("1f1b", replicaCount: 2);
        Assert.Equal(Enumerable.Range(3, 7), ranks.UnitsOf(1));
        Assert.Equal(ranks.UnitsOf(1), ranks.UnitsOf(4));
        ranks.Divide(new UnitDivision(ranks.UnitCounts, ranks.Schedule) { ReplicaCount = 1 });
        Assert.Equal(Enumerable.Range(3, 7), ranks.UnitsOf(1));
        Assert.Empty(ranks.UnitsOf(4));
    }

    private static RankTable Table(string name, int replicaCount)
    {
        var schedule = ScheduleCatalog.Generate(name, 3, 4);
        return new RankTable(new CoordinatedRun
        {
            Run = new RunId(1),
            Plan = new RunPlan { StartStep = 0, EndStep = 1 },
            UnitCounts = [.. new[] { 3, 7, 11, 17, 19, 23 }.Take(schedule.StageCount)],
            Schedule = ScheduleText.Format(schedule),
            RankCount = 3 * replicaCount,
        });
    }
}
