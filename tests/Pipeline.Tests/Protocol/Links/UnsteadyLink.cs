using Pipeline.Protocol.Links;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>A link to a hub of the same process whose connections are cut, or altered, as a test says.</summary>
internal static class UnsteadyLink
{
    /// <param name="receiver">The other end.</param>
    /// <param name="claim">What the link is for.</param>
    /// <param name="raise">Takes events.</param>
    /// <param name="seed">Of how the bytes are cut into pieces.</param>
    /// <param name="fate">For each connection, counted from 0, after how many bytes it is cut, and which byte is altered, if any.</param>
    internal static OutgoingLink Open(LinkHub receiver, LinkClaim claim, Action<LinkEvent> raise, int seed, Func<int, (long CutAfter, long? AlterAt)> fate)
    {
        var attempt = 0;
        var identity = new LinkIdentity("test", "a", 5, []);
        var settings = TestLinks.Settings with { MaxBackOff = TimeSpan.FromMilliseconds(10) };
        var dialer = new LinkDialer(
            new LinkPeer("b", receiver.Address.Incarnation, LinkKind.Tcp, claim),
            () =>
            {
                var (cutAfter, alterAt) = fate(attempt);
                var (here, there) = MemoryTransport.Pair(seed + attempt++, cutAfter, alterAt);
                receiver.Serve(there);
                return here;
            },
            identity,
            settings);
        var link = new OutgoingLink(dialer, settings, raise);
        link.Start();
        return link;
    }
}
