using CsCheck;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Stages.Replicas;

public sealed class ReplicaShareTests
{
    [Fact]
    public void Any_number_of_replicas_shares_a_steps_micro_batches_without_gap_or_overlap_each_with_a_schedule_of_its_share() =>
        Gen.Select(Gen.Int[1, 9], Gen.Int[1, 5], Gen.Int[1, 3]).Where((microBatches, replicas, _) => replicas <= microBatches).Sample((microBatchCount, replicaCount, stageCount) =>
        {
            var plan = TinyRun.Plan(stageCount, microBatchCount);
            var layout = RunLayout.For(plan, RunLayout.For(plan).UnitCounts, replicaCount)!;
            var wire = LayoutOf(layout);
            var next = 0;
            for (var rank = 0; rank < layout.RankCount; rank += stageCount)
            {
                var share = ReplicaShare.Of(wire, rank);
                var own = share.Shares[share.Index];
                Assert.Equal(rank / stageCount, share.Index);
                Assert.Equal(next, own.First);
                Assert.Equal(own.Count, share.Own.Schedule.MicroBatchCount);
                next += own.Count;
            }

            Assert.Equal(microBatchCount, next);
        });

    [Fact]
    public void A_schedule_that_is_known_for_one_share_only_has_no_layout_for_another_number_of_replicas()
    {
        var plan = TinyRun.Plan(2, 4);
        var text = ScheduleText.Format(ScheduleCatalog.Generate("gpipe", 2, 4));
        Assert.NotNull(RunLayout.For(plan with { ScheduleText = text }, [4, 4], 1));
        Assert.Null(RunLayout.For(plan with { ScheduleText = text }, [4, 4], 2));
        Assert.Equal(2, RunLayout.For(plan with { ScheduleText = text, ScheduleOf = share => ScheduleCatalog.Generate("gpipe", 2, share) }, [4, 4], 2)!.Schedule.MicroBatchCount);
    }

    [Fact]
    public void Schedules_that_do_not_go_together_are_refused()
    {
        var plan = TinyRun.Plan(2, 5);
        var layout = LayoutOf(RunLayout.For(plan, [4, 4], 2)!);
        var other = ScheduleText.Format(ScheduleCatalog.Generate("gpipe", 2, 1));
        Assert.Throws<ScheduleException>(() => ReplicaShare.Of(layout with { Others = [layout.Others![0] with { Schedule = other }] }, 0));
        Assert.Throws<ScheduleException>(() => ReplicaShare.Of(layout with { Others = [layout.Others![0] with { FirstReplica = 2 }] }, 0));
    }

    private static PipelineLayout LayoutOf(RunLayout layout)
    {
        var division = layout.Division();
        return new PipelineLayout(
            new RunId(1), Generation.First, Generation.First, division.UnitCounts, division.Schedule, [.. Enumerable.Repeat(new RankPlace(default, "", "", null), layout.RankCount)],
            TensorLinkKind.Automatic, new StepCadence(1, 0, 1), ProtectionDuties.None, "", division.Others);
    }
}
