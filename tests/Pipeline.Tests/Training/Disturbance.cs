using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using Pipeline.Training;

namespace Pipeline.Tests.Training;

/// <summary>Puts something that delays, reorders and repeats before every stage; the same for the same seed and order of arrival.</summary>
internal static class Disturbance
{
    internal static StageLocator Of(TrainingPlan plan, int seed) => (context, rank) =>
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
}
