using Akka.Actor;
using Akka.Configuration;
using Akka.Dispatch;
using Akka.Dispatch.MessageQueues;

namespace Pipeline.Tests.Nodes;

/// <summary>The mailbox of every actor of a simulated cluster: asks the network what becomes of a message.</summary>
public sealed class NetworkMailbox(Settings settings, Config config) : MailboxType(settings, config), IProducesMessageQueue<UnboundedMessageQueue>
{
    internal static Config Hocon { get; } = ConfigurationFactory.ParseString(
        $"akka.actor.default-mailbox.mailbox-type = \"{typeof(NetworkMailbox).AssemblyQualifiedName}\"");

    /// <inheritdoc/>
    public override IMessageQueue Create(IActorRef owner, ActorSystem system) =>
        SimulatedNetwork.Of(system) is { } network ? new NetworkQueue(network) : new UnboundedMessageQueue();

    private sealed class NetworkQueue(SimulatedNetwork network) : IMessageQueue, IUnboundedMessageQueueSemantics
    {
        private readonly UnboundedMessageQueue _inner = new();

        public bool HasMessages => _inner.HasMessages;

        public int Count => _inner.Count;

        public void Enqueue(IActorRef receiver, Envelope envelope)
        {
            var isDecided = envelope.Message is SimulatedNetwork.Decided;
            var plain = envelope.Message is SimulatedNetwork.Decided decided ? new Envelope(decided.Message, envelope.Sender) : envelope;
            var count = isDecided ? 1 : network.Decide(receiver, plain.Message, plain.Sender);
            for (var time = 0; time < count; time++)
            {
                network.Enqueued();
                _inner.Enqueue(receiver, plain);
            }
        }

        public bool TryDequeue(out Envelope envelope)
        {
            if (!_inner.TryDequeue(out envelope)) return false;
            network.Dequeued();
            return true;
        }

        public void CleanUp(IActorRef owner, IMessageQueue deadletters)
        {
            while (TryDequeue(out var envelope)) deadletters.Enqueue(owner, envelope);
        }
    }
}
