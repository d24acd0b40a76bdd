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

    [Theory]
    [InlineData(2, "1f1b", Precision.Fp32)]
    [InlineData(3, "zb-h1", Precision.Bf16)]
    [InlineData(10, "gpipe", Precision.Bf16)]
    public async Task A_head_cut_over_the_vocabulary_gives_the_same_bits_wherever_its_units_lie(int stageCount, string schedule, Precision precision)
    {
        var cut = TinyRun.Plan(1, 3, tied: false, precision) with
        {
            Units = DecoderTransformer.Units(TinyRun.Settings(tied: false) with { HeadSlices = 3 }), EvaluateEvery = 2, EvaluationMicroBatchCount = 2,
        };
        var reference = TinyRun.Train(cut);
        // The head's units are the last three of ten: two stages cut before them or between them.
        foreach (var last in stageCount == 2 ? new[] { 1, 2, 3 } : [0])
        {
            var plan = cut with { StageCount = stageCount, Schedule = schedule, UnitCounts = last == 0 ? null : [10 - last, last], Links = TensorLinkKind.Frames };
            var (_, notices) = await PipelineFixture.RunAsync(fixture.Serializing, plan);
            TinyRun.AssertEqual(reference, notices.Steps);
            Assert.All(notices.All.OfType<RunNotice.Evaluated>(), evaluation =>
                Assert.Equal(BitConverter.DoubleToInt64Bits(reference[(int)evaluation.AfterStep - 1].ValidationLoss), BitConverter.DoubleToInt64Bits(evaluation.Loss)));
        }
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
