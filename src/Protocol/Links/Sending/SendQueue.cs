using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Links;

/// <summary>A frame on its way, from <see cref="ILink.Send"/> to its hand-back.</summary>
/// <param name="Header">What it is.</param>
/// <param name="Payload">Its bytes.</param>
/// <param name="Number">Its place in the link's order, from 1.</param>
/// <param name="Cost">Credits that it takes.</param>
/// <param name="CostThrough">Credits that the link took up to and with it.</param>
internal sealed record OutgoingFrame(FrameHeader Header, IFramePayload Payload, ulong Number, long Cost, long CostThrough)
{
    /// <summary>Credits of a frame: its bytes, but never so few that small frames are free.</summary>
    internal static long CostOf(long blockLength) => Math.Max(blockLength, 4096);
}

/// <summary>
/// What a link has to send, in order: what waits, what is being sent, what is not yet acknowledged. All decisions about numbers and
/// credits, no bytes and no threads; the caller locks.
/// </summary>
internal sealed class SendQueue
{
    private readonly LinkedList<OutgoingFrame> _waiting = new();
    private readonly Queue<OutgoingFrame> _unacknowledged = new();
    private OutgoingFrame? _inHand;
    private ulong _lastNumber;
    private ulong _lastTaken;
    private long _costThrough;
    private long _costTaken;
    private long _consumed;
    private long _window;

    /// <summary>Number of the last frame known to be received.</summary>
    internal ulong Acknowledged { get; private set; }

    /// <summary>Credits left.</summary>
    internal long Credits => Math.Max(0, _window - (_costTaken - _consumed));

    /// <summary>Credits of all that is not acknowledged.</summary>
    internal long QueuedCost => _unacknowledged.Sum(frame => frame.Cost) + (_inHand?.Cost ?? 0) + _waiting.Sum(frame => frame.Cost);

    /// <summary>Whether every frame is acknowledged.</summary>
    internal bool IsEmpty => _waiting.Count == 0 && _inHand is null && _unacknowledged.Count == 0;

    /// <summary>Appends a frame.</summary>
    internal void Add(FrameHeader header, IFramePayload payload)
    {
        var cost = OutgoingFrame.CostOf(header.BlockLength);
        _costThrough += cost;
        _waiting.AddLast(new OutgoingFrame(header, payload, ++_lastNumber, cost, _costThrough));
    }

    /// <summary>
    /// The next frame if its credits are there; a frame larger than the window goes when nothing else is outstanding. The caller sends it
    /// and calls <see cref="Sent"/>.
    /// </summary>
    internal OutgoingFrame? Take()
    {
        if (_waiting.First is not { } first || _inHand is not null) return null;
        var frame = first.Value;
        var outstanding = frame.CostThrough - frame.Cost - _consumed;
        if (outstanding > 0 && outstanding + frame.Cost > _window) return null;
        _waiting.RemoveFirst();
        _inHand = frame;
        _lastTaken = frame.Number;
        _costTaken = frame.CostThrough;
        return frame;
    }

    /// <summary>The frame taken last is in the kernel's hands, or will be sent again.</summary>
    /// <returns>The frame if it is acknowledged already: its payload is no longer read.</returns>
    internal OutgoingFrame? Sent()
    {
        var frame = _inHand!;
        _inHand = null;
        if (frame.Number <= Acknowledged) return frame;
        _unacknowledged.Enqueue(frame);
        return null;
    }

    /// <summary>
    /// Takes a receipt. A frame that is still being sent is not handed back before it is sent, whatever the other end says of it.
    /// </summary>
    /// <returns>Frames to hand back.</returns>
    /// <exception cref="LinkProtocolException">The other end claims more than it was sent, or takes something back.</exception>
    internal IReadOnlyList<OutgoingFrame> Acknowledge(ulong number, long consumed)
    {
        if (number > _lastTaken || number < Acknowledged || consumed > _costTaken || consumed < _consumed)
            throw new LinkProtocolException($"A receipt for frame {number} and {consumed} credits; sent were {_lastTaken} and {_costTaken}, acknowledged {Acknowledged} and {_consumed}.");
        Acknowledged = number;
        _consumed = consumed;
        List<OutgoingFrame> done = [];
        while (_unacknowledged.TryPeek(out var frame) && frame.Number <= number) done.Add(_unacknowledged.Dequeue());
        return done;
    }

    /// <summary>A new connection begins: what the other end has not got is to be sent again.</summary>
    /// <returns>Frames to hand back, and how many are to be sent again.</returns>
    internal (IReadOnlyList<OutgoingFrame> Done, int ResendCount) Resume(ulong received, long consumed, long window)
    {
        var done = Acknowledge(received, consumed);
        var resent = 0;
        foreach (var frame in _unacknowledged.Reverse())
        {
            _waiting.AddFirst(frame);
            resent++;
        }

        _unacknowledged.Clear();
        _window = window;
        _lastTaken = received;
        _costTaken = _waiting.First is { } first ? first.Value.CostThrough - first.Value.Cost : _costThrough;
        return (done, resent);
    }

    /// <summary>Empties it: the link ends.</summary>
    internal IReadOnlyList<OutgoingFrame> Abandon()
    {
        List<OutgoingFrame> left = [.. _unacknowledged, .. _waiting];
        if (_inHand is { } frame) left.Insert(_unacknowledged.Count, frame);
        _unacknowledged.Clear();
        _waiting.Clear();
        _inHand = null;
        return left;
    }
}
