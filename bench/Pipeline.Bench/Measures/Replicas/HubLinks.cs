using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>The ways of one replica of two to the other: a link each way between hubs of two processes, ending in an inbox. Owns the hub.</summary>
internal sealed class HubLinks : IStageLinks, IFrameSink, IDisposable
{
    internal static readonly RunId Run = new(1);

    private readonly LinkHub _hub;
    private readonly StageInbox _inbox;
    private readonly FrameReceiver _receiver;
    private readonly bool _isTcp;
    private readonly int _self;
    private readonly KeptMessages? _kept;
    private readonly Lock _gate = new();
    private ILink? _link;

    internal HubLinks(int self, StageInbox inbox, ReplicaSpec spec)
    {
        (_self, _inbox, _receiver, _isTcp) = (self, inbox, new FrameReceiver(inbox), spec.IsTcp);
        if (spec.Keeps) _kept = new KeptMessages(new KeptVolume(long.MaxValue));
        _hub = LinkHub.Start(
            new LinkHubOptions
            {
                Node = $"replica-{self}",
                Cluster = "bench",
                Settings = Wire.LinkWay.Settings(spec.HasChecksums),
                Shape = spec.BytesPerSecond > 0 ? transport => new ThrottledTransport(transport, spec.BytesPerSecond, TimeProvider.System) : null,
            },
            _ => { });
        _hub.Receive(LinkPurpose.Frames, Run, Generation.First, self, this);
    }

    /// <summary>Where the other replica reaches this one.</summary>
    internal string Address => LinkAddressText.Of(_hub.Address);

    /// <summary>Bytes that the sockets of this process have sent, frames, headers and receipts.</summary>
    internal long SentBytes => _hub.Status.Sum(link => link.BytesSent);

    /// <summary>Bytes of the tensors in it.</summary>
    internal SentTensors Tensors { get; private set; }

    /// <summary>Opens the way to the other replica.</summary>
    internal void Connect(string address) => _link = _hub.Open(
        LinkAddressText.Parse(address), new LinkClaim(LinkPurpose.Frames, Run, Generation.First, _self, 1 - _self), _isTcp ? LinkKindChoice.Tcp : LinkKindChoice.Unix);

    /// <inheritdoc/>
    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion)
    {
        completion.Wait();
        lock (_gate)
        {
            Send(key, TensorMemory.ToSend(tensor));
            if (_kept is null) tensor.Dispose();
            else _kept.Add(rank, key, tensor, completion);
        }
    }

    /// <inheritdoc/>
    public TensorLoan? Lend(int rank, FrameKey key, torch.Tensor view, bool isAwaited)
    {
        lock (_gate)
        {
            var loan = new TensorLoan(_inbox.LoanEnded, _kept?.AddLent(rank, key, view), isAwaited);
            Send(key, TensorMemory.ToSend(view, loan));
            if (_kept is null) view.Dispose();
            return loan;
        }
    }

    /// <inheritdoc/>
    public void Settle(TensorLoan loan, torch.Tensor own)
    {
        lock (_gate) loan.Keep(own);
    }

    /// <summary>A step is safe: what was kept of it is not needed any longer.</summary>
    internal void Forget(long step)
    {
        lock (_gate) _kept?.Forget(step);
    }

    /// <inheritdoc/>
    public IFrameBuffer Rent(LinkPeer from, FrameHeader header) => _receiver.Rent(header);

    /// <inheritdoc/>
    public void Arrived(ArrivedFrame frame)
    {
        if (_receiver.Arrived(frame) is { } received) _inbox.Post(new ReceivedTensor(received));
        frame.Consume();
    }

    /// <inheritdoc/>
    public void Send(int rank, NeighbourProtocol.INote note) => throw new NotSupportedException("Replicas alone tell each other nothing but tensors.");

    /// <inheritdoc/>
    public bool TakesCopies => false;

    /// <inheritdoc/>
    public void Protect(StateCopy copy) => copy.Dispose();

    /// <inheritdoc/>
    public void Report(StageProtocol.IEvent report)
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _link?.Dispose();
        _hub.Dispose();
        _kept?.Close();
    }

    private void Send(FrameKey key, TensorMemory payload)
    {
        var bytes = payload.Memory.Length;
        Tensors = key.Kind == FrameKind.ReducedGradient ? Tensors with { Answers = Tensors.Answers + bytes } : Tensors with { Contributions = Tensors.Contributions + bytes };
        _link!.Send(payload.Header(key.In(Generation.First)), payload);
    }
}

/// <summary>Bytes of tensors that a replica has sent.</summary>
/// <param name="Contributions">What it contributes to others' sums.</param>
/// <param name="Answers">The sums that it has completed.</param>
internal readonly record struct SentTensors(long Contributions, long Answers);
