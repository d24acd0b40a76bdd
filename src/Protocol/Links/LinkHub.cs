using System.Net;
using Akka.Configuration;

namespace Pipeline.Protocol.Links;

/// <summary>
/// A node's end of all its links: listens, lets in who proves to belong here, and opens links to the hubs of others. One for each process.
/// It moves frames and decides nothing about runs: ranks register what they take, and generations fence what is old. Thread-safe.
/// </summary>
public sealed class LinkHub : IDisposable
{
    private readonly Lock _gate = new();
    private readonly List<OutgoingLink> _outgoing = [];
    private readonly LinkHubOptions _options;
    private readonly LinkIdentity _identity;
    private readonly IncomingLinks _incoming;
    private readonly LinkAcceptor _acceptor;
    private readonly Action<LinkEvent> _raise;
    private readonly UnixSocketFolder? _folder;
    private readonly TunnelSystem? _tunnels;
    private readonly List<LinkListener> _listeners = [];

    private LinkHub(LinkHubOptions options, Action<LinkEvent> raise)
    {
        _options = options;
        _raise = raise;
        _identity = new LinkIdentity(options.Cluster, options.Node, Handshake.Draw(), [.. options.Secret]);
        _incoming = new IncomingLinks(_identity);
        var warnings = new WarningGate(options.Clock, raise);
        _acceptor = new LinkAcceptor(_identity, options.Settings, _incoming, new ConnectionLimits(options.Settings), warnings, raise);
        _folder = options.HasUnix ? UnixSocketFolder.Create() : null;
        if (_folder is not null) _listeners.Add(LinkListener.Unix(_folder, transport => _acceptor.Take(transport)));
        var (tcpHost, tcpPort) = options.TcpHost is null ? ("", 0) : ListenOnTcp(options.TcpHost, options, raise);
        _tunnels = options.Tunnels is { } setup ? new TunnelSystem(setup, transport => _acceptor.Take(transport)) : null;
        Address = new LinkAddress(
            options.Node, _identity.Incarnation, HostIdentity.Current, _folder?.SocketPath ?? "", tcpHost, tcpPort, _tunnels?.Address ?? "");
    }

    /// <summary>Where tunnels begin in the second actor system: the one path that peers must be allowed to select.</summary>
    public static string TunnelPath => "/user/" + TunnelGateActor.Name;

    /// <summary>What the second actor system needs besides where it listens and who may reach it.</summary>
    public static Config TunnelHocon => TunnelSystem.Hocon;

    /// <summary>Where others reach this hub.</summary>
    public LinkAddress Address { get; }

    /// <summary>Connections refused because their generation was replaced.</summary>
    public long FencedCount => _incoming.FencedCount;

    /// <summary>Every link of this node, as it is now.</summary>
    public IReadOnlyList<LinkStatus> Status
    {
        get
        {
            OutgoingLink[] outgoing;
            lock (_gate) outgoing = [.. _outgoing];
            return [.. outgoing.Select(link => link.Status), .. _incoming.States.Select(state => state.Status(_options.Settings.WindowBytes))];
        }
    }

    /// <summary>Begins to listen.</summary>
    /// <param name="options">Who and where.</param>
    /// <param name="raise">Is told what happens, on threads of links; must not block.</param>
    /// <exception cref="System.Net.Sockets.SocketException">The TCP port is taken, or the address is not this machine's.</exception>
    public static LinkHub Start(LinkHubOptions options, Action<LinkEvent> raise) => new(options, raise);

    /// <summary>
    /// Opens a link; it connects by itself, and again whenever the connection breaks, until it is disposed or refused for good.
    /// </summary>
    /// <exception cref="ArgumentException">The wanted kind cannot reach the other node.</exception>
    public ILink Open(LinkAddress to, LinkClaim claim, LinkKindChoice choice)
    {
        var kind = LinkKinds.Between(choice, Address, to, _options.Credentials is not null);
        var peer = new LinkPeer(to.Node, to.Incarnation, kind, claim);
        var dialer = new LinkDialer(peer, () => Shaped(Connect(to, kind)), _identity, _options.Settings);
        var link = new OutgoingLink(dialer, _options.Settings, _raise) { Ended = Remove };
        lock (_gate) _outgoing.Add(link);
        link.Start();
        return link;
    }

    /// <summary>Watches another process: its death is told at once as a <see cref="LinkLost"/> of a probe. Dispose to stop.</summary>
    public ILink Watch(LinkAddress other, LinkKindChoice choice) => Open(other, LinkClaim.Probe, choice);

    /// <summary>Takes frames for a rank of a generation from now on; older generations of the run are fenced by it.</summary>
    /// <param name="purpose">What for; copies have a way of their own, <see cref="ReceiveCopies"/>.</param>
    /// <param name="run">Run.</param>
    /// <param name="generation">The only one taken.</param>
    /// <param name="rank">What senders give as <see cref="LinkClaim.ToRank"/>.</param>
    /// <param name="sink">Who takes them.</param>
    /// <returns>Dispose to take no more.</returns>
    public IDisposable Receive(LinkPurpose purpose, RunId run, Generation generation, int rank, IFrameSink sink)
    {
        _incoming.Register(purpose, run, generation, rank, sink);
        return new Registration(() => _incoming.Withdraw(purpose, run, rank, sink));
    }

    /// <summary>Takes copies of states for the whole process from now on, of any run and generation; their keys say which they are.</summary>
    /// <param name="sink">Who takes them.</param>
    /// <returns>Dispose to take no more.</returns>
    public IDisposable ReceiveCopies(IFrameSink sink)
    {
        _incoming.TakeCopies(sink);
        return new Registration(() => _incoming.TakeCopies(null));
    }

    /// <summary>Refuses what is older than a generation from now on; senders that are connected learn it at once.</summary>
    public void Fence(RunId run, Generation generation) => _incoming.Fence(run, generation);

    /// <summary>Ends all links and stops listening.</summary>
    public void Dispose()
    {
        foreach (var listener in _listeners) listener.Dispose();
        OutgoingLink[] outgoing;
        lock (_gate) outgoing = [.. _outgoing];
        foreach (var link in outgoing) link.Dispose();
        _acceptor.Dispose();
        _tunnels?.Dispose();
        _folder?.Dispose();
    }

    /// <summary>Serves a connection that came some other way: for tests.</summary>
    internal void Serve(ILinkTransport transport) => _acceptor.Take(transport);

    private (string Host, int Port) ListenOnTcp(string host, LinkHubOptions options, Action<LinkEvent> raise)
    {
        var listen = options.TcpBind ?? host;
        var address = listen == "localhost" ? IPAddress.Loopback : IPAddress.TryParse(listen, out var given) ? given : Dns.GetHostAddresses(listen).First();
        if (options.Credentials is null && !IPAddress.IsLoopback(address))
        {
            raise(new LinkWarning(options.Node, $"Without certificates links listen on 127.0.0.1 only, not on {host}: make some with `pipeline certs init`."));
            (address, host) = (IPAddress.Loopback, "127.0.0.1");
        }

        var listener = LinkListener.Tcp(new IPEndPoint(address, options.TcpPort), Take);
        _listeners.Add(listener);
        return (host, listener.Port);
    }

    private void Take(SocketTransport transport)
    {
        if (_options.Credentials is { } credentials) _acceptor.Take(transport, () => TlsTransport.Accept(transport, credentials));
        else _acceptor.Take(transport);
    }

    private ILinkTransport Shaped(ILinkTransport transport) => _options.Shape?.Invoke(transport) ?? transport;

    private ILinkTransport Connect(LinkAddress to, LinkKind kind)
    {
        if (kind == LinkKind.Unix) return SocketTransport.Unix(to.UnixPath);
        if (kind == LinkKind.Akka) return (_tunnels ?? throw new IOException("This node has no tunnels.")).Connect(to.AkkaPath, _options.Settings.HandshakeTimeout);
        var socket = SocketTransport.Tcp(to.TcpHost, to.TcpPort, _options.Settings.HandshakeTimeout);
        if (kind == LinkKind.Tcp) return socket;
        using var deadline = new Timer(_ => socket.Close(), null, _options.Settings.HandshakeTimeout, Timeout.InfiniteTimeSpan);
        return TlsTransport.Connect(socket, to.TcpHost, _options.Credentials!);
    }

    private void Remove(OutgoingLink link)
    {
        lock (_gate) _outgoing.Remove(link);
    }

    private sealed class Registration(Action withdraw) : IDisposable
    {
        public void Dispose() => withdraw();
    }
}
