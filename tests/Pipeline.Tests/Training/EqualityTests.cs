using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Training;

[Collection(PipelineCollection.Name)]
public sealed class EqualityTests(PipelineFixture fixture)
{
    public static TheoryData<int, int> Shapes
    {
        get
        {
            TheoryData<int, int> shapes = [];
            foreach (var stageCount in new[] { 1, 2, 3, 4 })
            {
                foreach (var microBatchCount in new[] { 1, 2, 3, 8 }) shapes.Add(stageCount, microBatchCount);
            }

            return shapes;
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task Losses_norms_weights_and_moments_are_those_of_the_unsplit_model_to_the_bit(int stageCount, int microBatchCount)
    {
        foreach (var (tied, precision, schedule) in Choices())
        {
            var plan = TinyRun.Plan(stageCount, microBatchCount, tied, precision) with { Schedule = schedule };
            var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
            Assert.Equal(new RunOutcome(RunEnd.Completed, 5), outcome);
            TinyRun.AssertEqual(TinyRun.Reference(microBatchCount, tied, precision), notices.Steps);
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task The_bits_are_the_same_when_every_message_and_tensor_is_serialized(int stageCount, int microBatchCount)
    {
        foreach (var (tied, precision, schedule) in Choices())
        {
            var plan = TinyRun.Plan(stageCount, microBatchCount, tied, precision) with { Schedule = schedule, Links = TensorLinkKind.Frames };
            var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Serializing, plan);
            Assert.Equal(new RunOutcome(RunEnd.Completed, 5), outcome);
            TinyRun.AssertEqual(TinyRun.Reference(microBatchCount, tied, precision), notices.Steps);
        }
    }

    [Fact]
    public async Task A_stage_for_every_unit_gives_the_same_bits()
    {
        var plan = TinyRun.Plan(8, 3);
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        TinyRun.AssertEqual(TinyRun.Reference(3, true, Precision.Fp32), notices.Steps);
    }

    [Fact]
    public async Task The_loss_of_the_held_out_text_is_that_of_the_unsplit_model_to_the_bit()
    {
        var plan = TinyRun.Plan(3, 2) with { EvaluateEvery = 2, EvaluationMicroBatchCount = 2 };
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        var reference = TinyRun.Reference(2, true, Precision.Fp32);
        var evaluations = notices.All.OfType<RunNotice.Evaluated>().ToArray();
        Assert.Equal([2, 4, 5], evaluations.Select(evaluation => evaluation.AfterStep));
        Assert.Equal(
            evaluations.Select(evaluation => BitConverter.DoubleToInt64Bits(reference[(int)evaluation.AfterStep - 1].ValidationLoss)),
            evaluations.Select(evaluation => BitConverter.DoubleToInt64Bits(evaluation.Loss)));
        TinyRun.AssertEqual(reference, notices.Steps);
    }

    [Fact]
    public async Task An_evaluation_ends_with_the_held_out_text_when_more_is_asked_for()
    {
        var plan = TinyRun.Plan(2, 2) with { EvaluateEvery = 5, EvaluationMicroBatchCount = 50 };
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(3 * 2 * 8, Assert.Single(notices.All.OfType<RunNotice.Evaluated>()).TokenCount);
    }

    private static IEnumerable<(bool Tied, Precision Precision, string Schedule)> Choices() =>
        from tied in new[] { true, false }
        from precision in new[] { Precision.Fp32, Precision.Bf16 }
        from schedule in new[] { "gpipe", "1f1b" }
        select (tied, precision, schedule);
}
