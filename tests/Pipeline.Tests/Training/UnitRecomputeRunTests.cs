using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Schedules;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Units that recompute each in its own way: the bits of the unsplit model, and an R only where a stage has something to make again.</summary>
[Collection(PipelineCollection.Name)]
public sealed class UnitRecomputeRunTests(PipelineFixture fixture)
{
    [Theory]
    [InlineData("1f1b", 3, 1, "3xfull, 5xnone", Precision.Fp32)]
    [InlineData("zb-h1", 4, 1, "full, none, selective, 5xnone", Precision.Bf16)]
    [InlineData("interleaved-1f1b", 2, 2, "2xnone, 3xfull, 3xnone", Precision.Fp32)]
    [InlineData("zb-v", 2, 2, "7xnone, full", Precision.Bf16)]
    [InlineData("gpipe", 2, 1, "8xnone", Precision.Fp32)]
    public async Task The_bits_are_those_of_the_unsplit_model_and_stages_that_keep_everything_make_nothing_again(string kind, int ranks, int perRank, string units, Precision precision)
    {
        const int MicroBatches = 4;
        var recompute = UnitRecompute.Parse(units)!;
        var schedule = ScheduleCatalog.Generate(kind, new ScheduleShape(ranks, MicroBatches, perRank));
        var plan = TinyRun.Plan(ranks, MicroBatches, precision: precision);
        Assert.Equal(plan.Units.Count, recompute.UnitCount);
        plan = plan with
        {
            ScheduleText = ScheduleText.Format(RecomputePass.Apply(schedule, Enumerable.Range(0, schedule.StageCount))),
            Recompute = [.. plan.Units.Select((_, unit) => (Recomputation)recompute[unit])],
        };
        var layout = RunLayout.For(plan);
        var stages = recompute.StagesOf(Partitioner.FromCounts(plan.Units.Count, layout.UnitCounts)).ToArray();
        Assert.NotEqual(layout.Schedule.StageCount, stages.Length);
        Assert.Equal(stages.SelectMany(stage => Enumerable.Repeat(stage, MicroBatches)), layout.Schedule.Actions.SelectMany(row => row).Where(action => action.Kind is ActionKind.Recompute).Select(action => action.Stage).Order());
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: Disturbance.Of(plan, ranks));
        Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), outcome);
        TinyRun.AssertEqual(TinyRun.Reference(MicroBatches, tied: true, precision), notices.Steps);
    }
}
