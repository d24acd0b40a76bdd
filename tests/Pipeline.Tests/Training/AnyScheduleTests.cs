using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Schedules;
using Pipeline.Stages;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Whatever valid order the actions come in, wherever the stages lie: the bits of the unsplit model.</summary>
[Collection(PipelineCollection.Name)]
public sealed class AnyScheduleTests(PipelineFixture fixture)
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 24)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task Any_valid_schedule_has_the_bits_of_the_unsplit_model(int seed)
    {
        var (rankCount, microBatchCount) = (1 + seed % 4, 1 + seed % 5);
        var stageCount = Math.Min(8, rankCount * (1 + seed / 4 % 3));
        var plan = TinyRun.Plan(rankCount, microBatchCount, tied: seed % 2 == 0, seed % 3 == 0 ? Precision.Bf16 : Precision.Fp32, steps: 3) with
        {
            ScheduleText = ScheduleText.Format(AnySchedule.Draw(seed, rankCount, stageCount, microBatchCount)),
            Barrier = seed % 3 == 1 ? OptimizerBarrier.On : OptimizerBarrier.Off,
            EvaluateEvery = seed % 4 == 0 ? 2 : 0,
        };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: seed % 2 == 0 ? null : Disturbance.Of(plan, seed));
        Assert.Equal(new RunOutcome(RunEnd.Completed, 3), outcome);
        TinyRun.AssertEqual(TinyRun.Reference(microBatchCount, seed % 2 == 0, plan.Precision, 3), notices.Steps);
    }
}
