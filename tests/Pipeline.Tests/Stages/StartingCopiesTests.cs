using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Stages;

public sealed class StartingCopiesTests
{
    [Theory]
    [InlineData(0, "0 1")]
    [InlineData(3, "2 3")]
    public void A_rank_fetches_the_copies_of_its_own_replica_only(int rank, string expected) =>
        Assert.Equal(expected, Wanted(rank, sharesOptimizer: false, [0, 1, 2, 3]));

    [Fact]
    public void It_fetches_all_where_replicas_share_the_optimizers_state_out_or_its_own_are_not_all_there()
    {
        Assert.Equal("0 1 2 3", Wanted(1, sharesOptimizer: true, [0, 1, 2, 3]));
        Assert.Equal("0 1", Wanted(3, sharesOptimizer: false, [0, 1]));
        Assert.Equal("0 1 2", Wanted(2, sharesOptimizer: false, [0, 1, 2]));
        Assert.Equal("3", Wanted(3, sharesOptimizer: false, [3]));
    }

    [Fact]
    public void It_fetches_all_where_there_were_other_replicas_whose_shares_of_the_state_it_may_need()
    {
        // Of three replicas two are left, or of one that shared nothing out: none of the copies is known to be enough.
        Assert.Equal("0 1 2 3 4 5", Wanted(0, sharesOptimizer: false, [0, 1, 2, 3, 4, 5]));
        Assert.Equal("0 1", Wanted(0, sharesOptimizer: false, [0, 1]));
    }

    private static string Wanted(int rank, bool sharesOptimizer, int[] copies)
    {
        var plan = TinyRun.Plan(2, 4) with { ReplicaCount = 2, SharesOptimizer = sharesOptimizer };
        var layout = RunLayout.For(plan);
        var pipeline = new PipelineLayout(new RunId(1), Generation.First, Generation.First, layout.UnitCounts, ScheduleText.Format(layout.Schedule), [.. Enumerable.Repeat(new RankPlace(default, "", "", null), 4)], TensorLinkKind.Automatic, new StepCadence(2, 0, 1), ProtectionDuties.None, "");
        var start = new StartingPoint(StartKind.Copies, 5, [.. copies.Select(copy => new CopySource(new CopyId(new RunId(1), Generation.First, copy, 5), null))]);
        var wanted = StartingCopies.Of(new StageProtocol.AssignStage(Generation.First, rank, pipeline, start, RecordingDuties.None));
        return string.Join(' ', wanted.Select(source => source.Copy.Rank));
    }
}
