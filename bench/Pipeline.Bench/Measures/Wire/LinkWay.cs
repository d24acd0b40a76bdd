using Akka.Actor.Setup;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Security;
using Pipeline.Protocol.Wire;

namespace Pipeline.Bench.Measures.Wire;

/// <summary>A link between two hubs; the receiver consumes each frame at once.</summary>
internal sealed class LinkWay : IWireWay, IFrameSink
{
    private const int MinAhead = 4;
    private const int AheadBytes = 16 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);
    private static readonly RunId Run = new(1);

    private readonly WireMemory _from;
    private readonly WireMemory _to;
    private readonly LinkHub _sender;
    private readonly LinkHub _receiver;
    private readonly ILink _link;
    private readonly SemaphoreSlim _handedBack = new(0);
    private int _number;

    internal LinkWay(LinkKindChoice kind, bool hasChecksums, IPeerCredentials? credentials, WireMemory from, WireMemory to)
    {
        (_from, _to) = (from, to);
        var settings = Settings(hasChecksums);
        var options = new LinkHubOptions { Node = "sender", Cluster = "bench", Settings = settings, Credentials = credentials, Tunnels = kind == LinkKindChoice.Akka ? Tunnels : null };
        _sender = LinkHub.Start(options, _ => { });
        _receiver = LinkHub.Start(options with { Node = "receiver" }, _ => { });
        _receiver.Receive(LinkPurpose.Frames, Run, Generation.First, 1, this);
        _link = _sender.Open(_receiver.Address, new LinkClaim(LinkPurpose.Frames, Run, Generation.First, 0, 1), kind);
    }

    /// <summary>What the sender sent and the receiver answered.</summary>
    internal LinkStatus Status => _link.Status;

    /// <inheritdoc/>
    public void Transfer(int frameBytes, int count)
    {
        (_from.FrameBytes, _to.FrameBytes) = (frameBytes, frameBytes);
        // A stage has a few micro-batches under way; whenever one is handed back, the next goes out.
        var ahead = Math.Min(count, Math.Max(MinAhead, AheadBytes / frameBytes));
        var left = count - ahead;
        var handedBack = count;
        _from.HandedBack = () =>
        {
            if (Interlocked.Decrement(ref left) >= 0) Send(frameBytes);
            if (Interlocked.Decrement(ref handedBack) == 0) _handedBack.Release();
        };
        for (var index = 0; index < ahead; index++) Send(frameBytes);
        if (!_handedBack.Wait(Patience)) throw new TimeoutException("The link came to a halt.");
    }

    /// <summary>Sends one frame, to be handed back later.</summary>
    internal void Send(int frameBytes)
    {
        var key = new FrameKey(new StepKey(Run, Generation.First, 0, 1), 0, _number++ & 0xFFFF, 0, FrameKind.Activation);
        _link.Send(new FrameHeader(key, [new FrameTensor(FrameDataType.Byte, [frameBytes], frameBytes)]), _from);
    }

    /// <inheritdoc/>
    public IFrameBuffer Rent(LinkPeer from, FrameHeader header) => _to;

    /// <inheritdoc/>
    public void Arrived(ArrivedFrame frame)
    {
        frame.Consume();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _link.Dispose();
        _sender.Dispose();
        _receiver.Dispose();
    }

    private static ActorSystemSetup Tunnels => WireSetup.For(LinkHub.TunnelHocon.WithFallback("akka { loglevel = WARNING, stdout-loglevel = WARNING, remote.dot-netty.tcp { hostname = 127.0.0.1, port = 0 } }"));

    internal static LinkSettings Settings(bool hasChecksums) => new()
    {
        WindowBytes = 64 << 20,
        HasChecksums = hasChecksums,
        Limits = FrameLimits.Default,
        MaxConnectionCount = 64,
        MaxPendingCount = 8,
        HandshakeTimeout = TimeSpan.FromSeconds(10),
        Heartbeat = TimeSpan.FromSeconds(2),
        Silence = TimeSpan.FromSeconds(20),
        MaxBackOff = TimeSpan.FromSeconds(1),
    };
}
