using Akka.Actor;
using static Pipeline.Protocol.Links.TunnelProtocol;

namespace Pipeline.Protocol.Links;

/// <summary>Where tunnels to this node begin: makes an end for each that is asked for.</summary>
internal sealed class TunnelGateActor : ReceiveActor
{
    /// <summary>Its name under <c>/user</c>.</summary>
    internal const string Name = "links";

    private readonly Action<TunnelTransport> _accepted;

    /// <summary>Called by Akka.</summary>
    public TunnelGateActor(Action<TunnelTransport> accepted)
    {
        _accepted = accepted;
        Receive<OpenTunnel>(OnOpen);
    }

    internal static Props Props(Action<TunnelTransport> accepted) => Akka.Actor.Props.Create(() => new TunnelGateActor(accepted));

    private void OnOpen(OpenTunnel open)
    {
        var transport = new TunnelTransport(Sender.Path.Address.Host ?? "akka");
        var end = Context.ActorOf(TunnelEndActor.Props(transport, Sender));
        transport.Open(end, Sender);
        Sender.Tell(new TunnelOpened(open.Tunnel), end);
        _accepted(transport);
    }
}

/// <summary>One end of a tunnel: passes on to the transport what comes, and that the other end is gone.</summary>
internal sealed class TunnelEndActor : ReceiveActor
{
    private readonly TunnelTransport _transport;

    /// <summary>Called by Akka.</summary>
    public TunnelEndActor(TunnelTransport transport, IActorRef? peer, ActorSelection? gate, ulong tunnel)
    {
        _transport = transport;
        Receive<TunnelChunk>(chunk => _transport.Arrive(chunk));
        Receive<TunnelReceipt>(receipt => _transport.Arrive(receipt));
        Receive<CloseTunnel>(_ => _transport.End("The other end closed the tunnel."));
        Receive<Gone>(_ => _transport.End("The process at the other end of the tunnel is gone."));
        Receive<TunnelOpened>(opened => opened.Tunnel == tunnel, _ => OnOpened());
        if (peer is not null) Context.WatchWith(peer, new Gone());
        gate?.Tell(new OpenTunnel(tunnel), Self);
    }

    /// <summary>The accepting end.</summary>
    internal static Props Props(TunnelTransport transport, IActorRef peer) =>
        Akka.Actor.Props.Create(() => new TunnelEndActor(transport, peer, null, 0));

    /// <summary>The connecting end.</summary>
    internal static Props Props(TunnelTransport transport, ActorSelection gate, ulong tunnel) =>
        Akka.Actor.Props.Create(() => new TunnelEndActor(transport, null, gate, tunnel));

    /// <inheritdoc/>
    protected override void PostStop() => _transport.End("This end of the tunnel has stopped.");

    private void OnOpened()
    {
        Context.WatchWith(Sender, new Gone());
        _transport.Open(Self, Sender);
    }

    private sealed record Gone : INoSerializationVerificationNeeded;
}
