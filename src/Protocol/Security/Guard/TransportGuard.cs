using System.Net.Sockets;
using Akka.Actor;
using Akka.Event;
using Akka.Remote.Transport;

namespace Pipeline.Protocol.Security.Guard;

/// <summary>Gives Akka.Remote the guard around its transport; named in the configuration, made by Akka.</summary>
public sealed class TransportGuardProvider : ITransportAdapterProvider
{
    internal const string Name = "pipeline-guard";

    /// <inheritdoc/>
    /// <exception cref="SecurityException">The system was not made from <see cref="SecureRemoting.Complete"/>.</exception>
    public Transport Create(Transport wrappedTransport, ExtendedActorSystem system)
    {
        var setup = system.Settings.Setup.Get<TransportGuardSetup>();
        return setup.HasValue ? new TransportGuard(wrappedTransport, setup.Value, system)
            : throw new SecurityException("The configuration names the transport's guard, and the setup of the actor system lacks it.");
    }
}

/// <summary>
/// A transport whose connections are counted and whose inbound frames are judged. It keeps the scheme of the transport that it wraps, so
/// that addresses are the same with and without it.
/// </summary>
internal sealed class TransportGuard : Transport
{
    private readonly Transport _inner;
    private readonly TransportGuardSetup _guard;
    private readonly ILoggingAdapter _log;
    private int _inboundCount;

    public TransportGuard(Transport inner, TransportGuardSetup guard, ActorSystem system)
    {
        (_inner, _guard) = (inner, guard);
        _log = Logging.GetLogger(system, "security");
        (System, Config) = (system, inner.Config);
        SchemeIdentifier = inner.SchemeIdentifier;
        MaximumPayloadBytes = inner.MaximumPayloadBytes;
    }

    public override async Task<(Address, TaskCompletionSource<IAssociationEventListener>)> Listen()
    {
        var (address, innerSource) = await _inner.Listen().ConfigureAwait(false);
        TaskCompletionSource<IAssociationEventListener> source = new();
        _ = source.Task.ContinueWith(
            listener => innerSource.TrySetResult(new InboundListener(this, listener.Result)),
            CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously | TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
        return (address, source);
    }

    public override bool IsResponsibleFor(Address remote) => _inner.IsResponsibleFor(remote);

    public override async Task<AssociationHandle> Associate(Address remoteAddress)
    {
        try
        {
            return Guarded(await _inner.Associate(remoteAddress).ConfigureAwait(false), isInbound: false, static () => { });
        }
        catch (Exception fault) when (SocketFault(fault) is { } reason)
        {
            _guard.Refusals.Unreached(_log, $"{remoteAddress.Host}:{remoteAddress.Port}", reason.Message);
            throw;
        }
    }

    private static SocketException? SocketFault(Exception? fault) => fault switch
    {
        null => null,
        SocketException socket => socket,
        AggregateException many => many.InnerExceptions.Select(SocketFault).FirstOrDefault(inner => inner is not null),
        _ => SocketFault(fault.InnerException),
    };

    public override Task<bool> Shutdown() => _inner.Shutdown();

    public override Task<bool> ManagementCommand(object message) => _inner.ManagementCommand(message);

    private GuardedAssociation Guarded(AssociationHandle handle, bool isInbound, Action closed) => new(handle, isInbound, _guard, _log, closed);

    private sealed class InboundListener(TransportGuard transport, IAssociationEventListener above) : IAssociationEventListener
    {
        public void Notify(IAssociationEvent ev)
        {
            if (ev is not InboundAssociation inbound)
            {
                above.Notify(ev);
                return;
            }

            var handle = inbound.Association;
            if (Interlocked.Increment(ref transport._inboundCount) > TransportGuardSetup.MostInboundConnections)
            {
                Interlocked.Decrement(ref transport._inboundCount);
                transport._guard.Refusals.Report(transport._log, handle.RemoteAddress.Host, $"{TransportGuardSetup.MostInboundConnections} connections are open already");
                handle.Disassociate("too many connections", transport._log);
                return;
            }

            above.Notify(new InboundAssociation(transport.Guarded(handle, isInbound: true, () => Interlocked.Decrement(ref transport._inboundCount))));
        }
    }
}
