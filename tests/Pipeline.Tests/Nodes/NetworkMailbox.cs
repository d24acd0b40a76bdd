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

    /// <summary>
    /// An actor is at work from its creation, or from a message that it takes, until the thread that processes its mailbox asks for the next
    /// one: the clock must not move meanwhile, however slow the machine. What is told to an actor that is gone is not counted: a sender may have taken hold of its mailbox
    /// before it ended, and nobody empties that mailbox any more.
    /// </summary>
    private sealed class NetworkQueue : IMessageQueue, IUnboundedMessageQueueSemantics
    {
        private readonly UnboundedMessageQueue _inner = new();
        private readonly SimulatedNetwork _network;
        private readonly Lock _gate = new();
        private bool _isClosed;
        private bool _isAtWork;
        private int _thread;

        internal NetworkQueue(SimulatedNetwork network)
        {
            _network = network;
            Begin();
        }

        public bool HasMessages
        {
            get
            {
                lock (_gate)
                {
                    // Another thread may process the mailbox already.
                    if (_thread == Environment.CurrentManagedThreadId) End();
                    return _inner.HasMessages;
                }
            }
        }

        public int Count => _inner.Count;

        public void Enqueue(IActorRef receiver, Envelope envelope)
        {
            var isDecided = envelope.Message is SimulatedNetwork.Decided;
            var plain = envelope.Message is SimulatedNetwork.Decided decided ? new Envelope(decided.Message, envelope.Sender) : envelope;
            var count = isDecided ? 1 : _network.Decide(receiver, plain.Message, plain.Sender);
            lock (_gate)
            {
                for (var time = 0; time < count && !_isClosed; time++)
                {
                    _network.Enqueued();
                    _inner.Enqueue(receiver, plain);
                }
            }
        }

        public bool TryDequeue(out Envelope envelope)
        {
            lock (_gate)
            {
                End();
                if (!_inner.TryDequeue(out envelope)) return false;
                _thread = Environment.CurrentManagedThreadId;
                Begin();
                _network.Dequeued();
                return true;
            }
        }

        public void CleanUp(IActorRef owner, IMessageQueue deadletters)
        {
            lock (_gate) _isClosed = true;
            while (TryDequeue(out var envelope)) deadletters.Enqueue(owner, envelope);
        }

        private void Begin()
        {
            if (_isAtWork) return;
            _isAtWork = true;
            _network.Begun();
        }

        private void End()
        {
            _thread = 0;
            if (!_isAtWork) return;
            _isAtWork = false;
            _network.Done();
        }
    }
}
