using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

[Collection(PipelineCollection.Name)]
public sealed class AdversaryTests(PipelineFixture fixture)
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public async Task Late_reordered_and_repeated_messages_between_stages_leave_the_bits_as_they_are(int seed)
    {
        var plan = TinyRun.Plan(4, 5) with { EvaluateEvery = 2, EvaluationMicroBatchCount = 2, Links = seed % 2 == 0 ? TensorLinkKind.Frames : TensorLinkKind.Automatic };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: Disturbance.Of(plan, seed));
        Assert.Equal(new RunOutcome(RunEnd.Completed, 5), outcome);
        TinyRun.AssertEqual(TinyRun.Reference(5, true, Precision.Fp32), notices.Steps);
    }

    [Fact]
    public async Task Messages_of_another_generation_are_refused()
    {
        var plan = TinyRun.Plan(2, 2) with { Links = TensorLinkKind.Frames };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: (context, rank) =>
            context.ActorOf(Props.Create(() => new StaleEcho(PipelineRun.WorkloadOf(plan))), $"stage-{rank}"));
        Assert.Equal(RunEnd.Completed, outcome.End);
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32), notices.Steps);
    }

    /// <summary>Repeats every frame and note under the numbers of another generation before it lets the right one through.</summary>
    private sealed class StaleEcho : ReceiveActor
    {
        public StaleEcho(IStageWorkloadFactory factory)
        {
            var stage = Context.ActorOf(StageActor.Props(factory));
            Receive<NeighbourProtocol.SquaredNorms>(note => Twice(stage, note with { Step = Stale(note.Step), Losses = [1e9] }, note));
            Receive<NeighbourProtocol.StepTotals>(note =>
                Twice(stage, note with { Step = Stale(note.Step), Outcome = note.Outcome with { GradientNorm = double.NaN, Verdict = StepVerdict.NonFiniteNorm } }, note));
            Receive<TensorFrame>(frame => Twice(stage, new TensorFrame(frame.Key with { Step = Stale(frame.Key.Step) }, frame.Tensors, new byte[frame.Bytes.Length]), frame));
            ReceiveAny(stage.Forward);
        }

        private static StepKey Stale(StepKey step) => step with { Generation = new Generation(step.Generation.Number - 1) };

        private static void Twice(IActorRef stage, object stale, object current)
        {
            stage.Tell(stale);
            stage.Tell(current);
        }
    }
}
