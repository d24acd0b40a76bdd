using System.Collections.Concurrent;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>Hubs on loopback with short times, frames whose bytes tell their number, and a sink that remembers.</summary>
internal static class TestLinks
{
    internal static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    internal static readonly RunId Run = new(7);

    internal static LinkSettings Settings { get; } = new()
    {
        WindowBytes = 1 << 20,
        HasChecksums = true,
        Limits = new FrameLimits(4, 4, 8 << 20),
        MaxConnectionCount = 64,
        MaxPendingCount = 8,
        HandshakeTimeout = TimeSpan.FromSeconds(5),
        Heartbeat = TimeSpan.FromMilliseconds(200),
        Silence = TimeSpan.FromSeconds(5),
        MaxBackOff = TimeSpan.FromMilliseconds(100),
    };

    internal static LinkHubOptions Options(string node) => new() { Node = node, Cluster = "test", Settings = Settings };

    internal static LinkClaim Claim(int generation = 1, LinkPurpose purpose = LinkPurpose.Frames) => new(purpose, Run, new Generation(generation), 0, 1);

    internal static FrameHeader Header(int number, int byteCount, int generation = 1) => new(
        new FrameKey(new StepKey(Run, new Generation(generation), 0, 1), 0, number, 0, FrameKind.Activation), [new FrameTensor(FrameDataType.Byte, [byteCount], byteCount)]);

    internal static byte[] Bytes(int number, int byteCount)
    {
        var bytes = new byte[byteCount];
        for (var index = 0; index < byteCount; index++) bytes[index] = (byte)(number * 31 + index * 7 + (index >> 8));
        return bytes;
    }

    internal static void Send(this ILink link, int number, int byteCount, int generation = 1, Action<FrameKey, FrameOutcome>? handedBack = null) =>
        link.Send(Header(number, byteCount, generation), new MemoryPayload([Bytes(number, byteCount)], handedBack));
}

/// <summary>Keeps what arrives; consumes at once, or when told.</summary>
internal sealed class RecordingSink(bool consumesAtOnce = true) : IFrameSink, IDisposable
{
    private readonly FrameBufferPool _pool = new(64 << 20);
    private readonly BlockingCollection<ArrivedFrame> _arrivals = [];
    private long _rented;

    internal long RentedBytes => Interlocked.Read(ref _rented);

    internal int WaitingCount => _arrivals.Count;

    public IFrameBuffer Rent(LinkPeer from, FrameHeader header)
    {
        Interlocked.Add(ref _rented, header.BlockLength);
        return _pool.Rent(header);
    }

    public void Arrived(ArrivedFrame frame)
    {
        if (consumesAtOnce) frame.Consume();
        _arrivals.Add(frame);
    }

    internal ArrivedFrame Take()
    {
        if (!_arrivals.TryTake(out var arrival, TestLinks.Patience)) throw new TimeoutException("No frame arrived.");
        return arrival;
    }

    public void Dispose() => _pool.Dispose();
}

/// <summary>Collects events and lets a test wait for one.</summary>
internal sealed class EventLog
{
    private readonly BlockingCollection<LinkEvent> _events = [];

    internal void Add(LinkEvent raised) => _events.Add(raised);

    internal T Expect<T>(Func<T, bool>? condition = null) where T : LinkEvent
    {
        List<LinkEvent> others = [];
        using var patience = new CancellationTokenSource(TestLinks.Patience);
        try
        {
            while (true)
            {
                var next = _events.Take(patience.Token);
                if (next is T wanted && condition?.Invoke(wanted) != false) return wanted;
                others.Add(next);
            }
        }
        catch (OperationCanceledException cause)
        {
            throw new TimeoutException($"No {typeof(T).Name}; there were: {string.Join("; ", others)}.", cause);
        }
    }

    internal IReadOnlyList<LinkEvent> Rest()
    {
        List<LinkEvent> rest = [];
        while (_events.TryTake(out var next)) rest.Add(next);
        return rest;
    }
}
