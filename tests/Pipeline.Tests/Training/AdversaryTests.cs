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
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: Disturbed(plan, seed));
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

    private static StageLocator Disturbed(TrainingPlan plan, int seed) => (context, rank) =>
        context.ActorOf(Props.Create(() => new Adversary(PipelineRun.WorkloadOf(plan), seed * 100 + rank)), $"stage-{rank}");

    /// <summary>
    /// Stands before a stage and holds back what other stages send it: in bunches, in another order, notes and frames twice.
    /// What the coordinator says passes at once, in order.
    /// </summary>
    private sealed class Adversary : ReceiveActor
    {
        private readonly Random _chance;
        private readonly List<object> _held = [];
        private readonly IActorRef _stage;

        public Adversary(IStageWorkloadFactory factory, int seed)
        {
            _chance = new Random(seed);
            _stage = Context.ActorOf(StageActor.Props(factory));
            Receive<TensorHandover>(Hold);
            Receive<TensorFrame>(frame => { Hold(frame); Hold(frame); });
            Receive<NeighbourProtocol.INote>(note => { Hold(note); Hold(note); });
            Receive<NoteHandover>(note => { Hold(note); Hold(note); });
            Receive<Flush>(_ => Release());
            ReceiveAny(message => _stage.Forward(message));
        }

        private void Hold(object message)
        {
            _held.Insert(_chance.Next(_held.Count + 1), message);
            // Everything held is let go a few turns of the mailbox later, however little else arrives.
            Self.Tell(new Flush());
        }

        private void Release()
        {
            var count = _chance.Next(_held.Count + 1);
            foreach (var message in _held.Take(count)) _stage.Tell(message);
            _held.RemoveRange(0, count);
            if (_held.Count > 0) Self.Tell(new Flush());
        }

        private sealed record Flush : INoSerializationVerificationNeeded;
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
