using System.Collections.Concurrent;

namespace Pipeline.Protocol.Links;

/// <summary>Serves connections from their first byte to their last, each on a thread of its own; who is not let in leaves one warning.</summary>
internal sealed class LinkAcceptor(
    LinkIdentity identity, LinkSettings settings, IncomingLinks links, ConnectionLimits limits, WarningGate warnings, Action<LinkEvent> raise) : IDisposable
{
    private readonly ConcurrentDictionary<ILinkTransport, byte> _open = new();
    private volatile bool _isDisposed;

    /// <summary>Takes a fresh connection, or closes it if there are too many. Returns at once.</summary>
    /// <param name="transport">The connection.</param>
    /// <param name="secure">What goes on top of it before the handshake; null for nothing.</param>
    internal void Take(ILinkTransport transport, Func<ILinkTransport>? secure = null)
    {
        if (!limits.TryBegin(transport.Source))
        {
            warnings.Warn(transport.Source, $"Too many connections from {transport.Source}: this one was closed.");
            transport.Dispose();
            return;
        }

        _open[transport] = 0;
        if (_isDisposed) transport.Close();
        new Thread(() => Serve(transport, secure), maxStackSize: 256 * 1024) { IsBackground = true, Name = $"link from {transport.Source}" }.Start();
    }

    /// <summary>Ends all connections.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        foreach (var transport in _open.Keys) transport.Close();
    }

    private void Serve(ILinkTransport raw, Func<ILinkTransport>? secure)
    {
        var transport = raw;
        var isKnown = false;
        try
        {
            var reader = default(TransportReader);
            (LinkHello Hello, HandshakeSecret Secret) opening;
            using (new Timer(_ => raw.Close(), null, settings.HandshakeTimeout, Timeout.InfiniteTimeSpan))
            {
                if (secure is not null) transport = secure();
                reader = new TransportReader(transport);
                opening = Handshake.Accept(transport, reader, identity.Secret);
            }

            limits.Authenticated(raw.Source);
            isKnown = true;
            Serve(transport, reader, opening.Hello, opening.Secret);
        }
#pragma warning disable CA1031 // Whatever strangers make the libraries throw ends their connection, not the process.
        catch (Exception fault)
#pragma warning restore CA1031
        {
            warnings.Warn(raw.Source, $"A connection from {raw.Source} was not let in: {fault.Message}");
        }
        finally
        {
            if (!isKnown) limits.Authenticated(raw.Source);
            limits.End();
            _open.TryRemove(raw, out _);
            transport.Dispose();
            raw.Dispose();
        }
    }

    private void Serve(ILinkTransport transport, TransportReader reader, LinkHello hello, HandshakeSecret secret)
    {
        var admission = links.Judge(hello, transport.Kind);
        if (admission.Refusal is { } refusal)
        {
            transport.Send(HandshakeEnvelope.Seal(refusal, secret), []);
            if (refusal.Verdict is not (LinkVerdict.NotReady or LinkVerdict.Busy))
                warnings.Warn($"{transport.Source}/{hello.Node}", $"{hello.Node} was refused: {refusal.Reason}");
            return;
        }

        var state = admission.State!;
        var connection = new IncomingConnection(transport, reader, state, admission.Sink, settings, links.Latest);
        try
        {
            var isOver = connection.Run(welcome =>
            {
                transport.Send(HandshakeEnvelope.Seal(welcome, secret), []);
                raise(new LinkConnected(state.Peer, LinkDirection.Incoming, state.ConnectionCount > 1));
            });
            if (isOver) links.Forget(hello);
        }
#pragma warning disable CA1031 // Whatever a sink throws ends the connection, not the process.
        catch (Exception fault)
#pragma warning restore CA1031
        {
            if (fault is not IOException) warnings.Warn($"{transport.Source}/{hello.Node}", $"The connection of {state.Peer} was ended: {fault.Message}");
            raise(new LinkLost(state.Peer, LinkDirection.Incoming, LossOf(fault), fault.Message));
        }
    }

    private static LinkLoss LossOf(Exception fault) => fault switch
    {
        FrameCorruptException => LinkLoss.Corrupt,
        IOException => LinkFaults.LossOf(fault),
        _ => LinkLoss.Protocol,
    };
}
