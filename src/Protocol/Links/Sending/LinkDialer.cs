namespace Pipeline.Protocol.Links;

/// <summary>Makes connections of one link: the way, the greeting, the deadline.</summary>
/// <param name="peer">Other end.</param>
/// <param name="open">Opens the way; blocking.</param>
/// <param name="identity">Who connects.</param>
/// <param name="settings">Deadline.</param>
internal sealed class LinkDialer(LinkPeer peer, Func<ILinkTransport> open, LinkIdentity identity, LinkSettings settings)
{
    private readonly ulong _link = Handshake.Draw();

    /// <summary>Other end.</summary>
    internal LinkPeer Peer { get; } = peer;

    /// <summary>Connects and shakes hands.</summary>
    /// <param name="acknowledged">Number of the last frame known to be received.</param>
    /// <exception cref="IOException">There is no way, or it broke.</exception>
    /// <exception cref="LinkRejectedException">The other end does not want the link.</exception>
    internal (ILinkTransport Transport, TransportReader Reader, LinkWelcome Welcome) Connect(ulong acknowledged)
    {
        var transport = open();
        try
        {
            using var deadline = new Timer(_ => transport.Close(), null, settings.HandshakeTimeout, Timeout.InfiniteTimeSpan);
            var reader = new TransportReader(transport);
            var hello = new LinkHello(
                identity.Cluster, identity.Node, identity.Incarnation, Peer.Incarnation, Peer.Claim, _link, acknowledged, Handshake.Draw());
            var welcome = Handshake.Connect(transport, reader, hello, identity.Secret);
            if (welcome.Verdict != LinkVerdict.Accepted) throw new LinkRejectedException(welcome.Verdict, welcome.Generation, welcome.Reason);
            return (transport, reader, welcome);
        }
        catch
        {
            transport.Dispose();
            throw;
        }
    }
}

/// <summary>Who this node is to the hubs of others.</summary>
/// <param name="Cluster">What both ends must agree on: the cluster's name and the fingerprint of its configuration.</param>
/// <param name="Node">Name of the node.</param>
/// <param name="Incarnation">Drawn at the start of the process.</param>
/// <param name="Secret">Known to the nodes of the cluster only; may be empty where the Unix folder or TLS keeps others out.</param>
internal sealed record LinkIdentity(string Cluster, string Node, ulong Incarnation, byte[] Secret);
