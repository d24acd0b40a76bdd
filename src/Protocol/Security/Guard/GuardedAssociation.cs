using Akka.Event;
using Akka.Remote.Transport;
using Google.Protobuf;

namespace Pipeline.Protocol.Security.Guard;

/// <summary>A connection of Akka.Remote whose inbound frames are judged before they are passed on.</summary>
internal sealed class GuardedAssociation : AssociationHandle
{
    private readonly AssociationHandle _inner;

    public GuardedAssociation(AssociationHandle inner, bool isInbound, TransportGuardSetup guard, ILoggingAdapter log, Action closed)
        : base(inner.LocalAddress, inner.RemoteAddress)
    {
        _inner = inner;
        // What listens above gets what the judge lets through; the connection begins to read only once it has a listener.
        _ = ReadHandlerSource.Task.ContinueWith(
            listener => inner.ReadHandlerSource.TrySetResult(new Listener(listener.Result, inner, isInbound, guard, log, closed)),
            CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously | TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
    }

    public override bool Write(ByteString payload) => _inner.Write(payload);

    [Obsolete("Akka asks for the overload with a reason, and that one calls this.")]
    public override void Disassociate() => _inner.Disassociate();

    private sealed class Listener(IHandleEventListener above, AssociationHandle inner, bool isInbound, TransportGuardSetup guard, ILoggingAdapter log, Action closed) : IHandleEventListener
    {
        private static readonly TimeSpan RecheckPause = TimeSpan.FromSeconds(2);
        private PeerIdentity? _peer;
        private bool _hasSpoken;
        private long _checkedAt;
        private int _isClosed;

        // The transport notifies one connection from one thread at a time.
        public void Notify(IHandleEvent ev)
        {
            if (ev is InboundPayload frame)
            {
                _hasSpoken = true;
                if (!Passes(frame.Payload)) return;
            }

            if (ev is Disassociated && Interlocked.Exchange(ref _isClosed, 1) == 0) Close();
            above.Notify(ev);
        }

        private bool Passes(ByteString frame)
        {
            if (Authenticated() is not { } peer)
            {
                End("it speaks before it has shown a certificate");
                return false;
            }

            if (!IsStillAccepted(peer))
            {
                End($"the certificate of {peer} has expired or was revoked");
                return false;
            }

            if (guard.Policy.FaultOf(frame.Span, peer) is not { } fault) return true;
            Say($"{fault} (from {peer})");
            return false;
        }

        private PeerIdentity? Authenticated()
        {
            if (_peer is not null) return _peer;
            _checkedAt = guard.Time.GetTimestamp();
            return _peer = guard.PeerOf(inner.RemoteAddress, isInbound);
        }

        private bool IsStillAccepted(PeerIdentity peer)
        {
            var now = guard.Time.GetTimestamp();
            if (guard.Time.GetElapsedTime(_checkedAt, now) < RecheckPause) return true;
            _checkedAt = now;
            return guard.IsStillAccepted(peer);
        }

        private void Close()
        {
            if (Authenticated() is null) Say("its connection ended before it had shown a certificate that is let in");
            if (isInbound) guard.Forget(inner.RemoteAddress);
            else if (!_hasSpoken) guard.Closed(inner.RemoteAddress);
            closed();
        }

        private void End(string clause)
        {
            Say(clause);
            inner.Disassociate(clause, log);
        }

        private void Say(string clause) => guard.Refusals.Report(log, inner.RemoteAddress.Host, clause);
    }
}
