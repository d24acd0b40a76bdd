using System.IO.Hashing;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Links;
using TorchSharp;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>The ways of one replica of two to the other over a link whose connections are cut again and again. Keep what they send. Own their hub.</summary>
internal sealed class HubbedLinks : IStageLinks, IFrameSink, IDisposable
{
    private readonly LinkHub _hub = LinkHub.Start(TestLinks.Options("b") with { HasUnix = false, TcpHost = null }, _ => { });
    private readonly List<(FrameKey, ulong)> _arrived = [];
    private readonly KeptMessages _kept = new(new KeptVolume(long.MaxValue));
    private readonly Lock _gate = new();
    private readonly StageInbox _inbox;
    private readonly FrameReceiver _receiver;
    private readonly int _self;
    private ILink? _link;
    private int _attemptCount;
    private int _placedCount;

    internal HubbedLinks(int self, StageInbox inbox)
    {
        (_self, _inbox, _receiver) = (self, inbox, new FrameReceiver(inbox));
        _hub.Receive(LinkPurpose.Frames, TestLinks.Run, Generation.First, self, this);
    }

    /// <summary>Connections that were cut.</summary>
    internal int CutCount => Math.Max(0, Volatile.Read(ref _attemptCount) - 1);

    /// <summary>How often a frame was to be received where it lies in the end.</summary>
    internal int PlacedCount => Volatile.Read(ref _placedCount);

    /// <summary>What has come, as a hash for each frame, in order.</summary>
    internal IReadOnlyList<(FrameKey, ulong)> Arrived
    {
        get
        {
            lock (_gate) return [.. _arrived];
        }
    }

    public bool TakesCopies => false;

    internal void Connect(HubbedLinks other, int seed)
    {
        var random = new Random(seed);
        _link = UnsteadyLink.Open(other._hub, new LinkClaim(LinkPurpose.Frames, TestLinks.Run, Generation.First, _self, other._self), _ => { }, seed, attempt =>
        {
            Volatile.Write(ref _attemptCount, attempt + 1);
            return (attempt % 3 == 2 ? 60_000 : random.Next(1, 20_000), null);
        });
    }

    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion) => throw new InvalidOperationException($"{key} was copied.");

    public TensorLoan? Lend(int rank, FrameKey key, torch.Tensor view, bool isAwaited)
    {
        lock (_gate)
        {
            var loan = new TensorLoan(_inbox.LoanEnded, _kept.AddLent(rank, key, view), isAwaited);
            var payload = TensorMemory.ToSend(view, loan);
            _link!.Send(payload.Header(key.In(Generation.First)), payload);
            return loan;
        }
    }

    public void Settle(TensorLoan loan, torch.Tensor own)
    {
        lock (_gate) loan.Keep(own);
    }

    public void Send(int rank, NeighbourProtocol.INote note) => throw new NotSupportedException();

    public void Protect(StateCopy copy) => copy.Dispose();

    public void Report(StageProtocol.IEvent report)
    {
    }

    public IFrameBuffer Rent(LinkPeer from, FrameHeader header)
    {
        var memory = _receiver.Rent(header);
        if (memory.IsInPlace) Interlocked.Increment(ref _placedCount);
        return memory;
    }

    void IFrameSink.Arrived(ArrivedFrame frame)
    {
        lock (_gate) _arrived.Add((frame.Header.Key.In(Generation.None), XxHash3.HashToUInt64(frame.Buffer.BytesOf(0).Span)));
        if (_receiver.Arrived(frame) is { } received) _inbox.Post(new ReceivedTensor(received));
        frame.Consume();
    }

    /// <summary>What would be sent again, as a hash for each frame.</summary>
    internal IReadOnlyList<(FrameKey, ulong)> Kept()
    {
        lock (_gate) return KeptHashes.Of(_kept, 1 - _self);
    }

    public void Dispose()
    {
        _link?.Dispose();
        _hub.Dispose();
        _kept.Close();
    }
}
