using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Wire;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

public sealed class TunnelTests
{
    private static LinkHubOptions Options(string node) => TestLinks.Options(node) with
    {
        HasUnix = false,
        TcpHost = null,
        Tunnels = WireSetup.For(LinkHub.TunnelHocon.WithFallback("akka { loglevel = ERROR, stdout-loglevel = ERROR, remote.dot-netty.tcp { hostname = 127.0.0.1, port = 0 } }")),
    };

    [Fact]
    public void Frames_travel_over_akka_where_nothing_else_does()
    {
        using var sender = LinkHub.Start(Options("a"), _ => { });
        var events = new EventLog();
        using var receiver = LinkHub.Start(Options("b"), events.Add);
        using var sink = new RecordingSink();
        using var receiving = receiver.Receive(LinkPurpose.Frames, TestLinks.Run, Generation.First, 1, sink);
        using var link = sender.Open(receiver.Address, TestLinks.Claim(), LinkKindChoice.Automatic);
        Assert.Equal(LinkKind.Akka, link.Peer.Kind);
        // The last one needs more chunks than may be under way.
        int[] sizes = [1, 64_000, 200_001, 4_000_000];
        for (var number = 0; number < sizes.Length; number++) link.Send(number, sizes[number]);
        for (var number = 0; number < sizes.Length; number++) Assert.True(sink.Take().Buffer.BytesOf(0).Span.SequenceEqual(TestLinks.Bytes(number, sizes[number])));
        sender.Dispose();
        events.Expect<LinkConnected>();
    }

    [Fact]
    public void A_lost_chunk_ends_the_tunnel_instead_of_shifting_the_bytes()
    {
        using var transport = new TunnelTransport("test");
        transport.Open(Nobody.Instance, Nobody.Instance);
        transport.Arrive(new TunnelProtocol.TunnelChunk(1, new byte[] { 1, 2 }));
        transport.Arrive(new TunnelProtocol.TunnelChunk(3, new byte[] { 5, 6 }));
        var bytes = new byte[8];
        Assert.Equal(2, transport.Receive(bytes, []));
        Assert.Equal(0, transport.Receive(bytes, []));
        Assert.Throws<IOException>(() => transport.Send([1], [2]));
    }

    [Fact]
    public void More_chunks_than_were_allowed_end_the_tunnel()
    {
        using var transport = new TunnelTransport("test");
        transport.Open(Nobody.Instance, Nobody.Instance);
        for (var number = 1; number <= TunnelTransport.Window + 1; number++) transport.Arrive(new TunnelProtocol.TunnelChunk(number, new byte[] { 1 }));
        Assert.Throws<IOException>(() => transport.Send([1], []));
    }
}
