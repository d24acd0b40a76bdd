using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Links;

/// <summary>
/// The sending end of a link: one thread connects, writes what the queue gives, and connects again when the connection breaks, until it is
/// disposed or the other end refuses for good.
/// </summary>
internal sealed class OutgoingLink : ILink
{
    // A frame that arrives altered so often in a row is not a matter of chance: its memory or the way is broken.
    private const int MaxCorruptCount = 8;

    private readonly object _gate = new();
    private readonly SendQueue _queue = new();
    private readonly LinkDialer _dialer;
    private readonly LinkSettings _settings;
    private readonly Action<LinkEvent> _raise;
    private readonly BackOff _backOff;
    private SendingConnection? _connection;
    private bool _isClosed;
    private bool _isWriting;
    private bool _isReceiptWanted;
    private long _wroteAt = Stopwatch.GetTimestamp();
    private int _connectionCount;
    private int _corruptCount;
    private long _resentCount;
    private long _acknowledgedCount;
    private (long Sent, long Received) _formerBytes;

    /// <summary>A link that does nothing before <see cref="Start"/>.</summary>
    internal OutgoingLink(LinkDialer dialer, LinkSettings settings, Action<LinkEvent> raise)
    {
        _dialer = dialer;
        _settings = settings;
        _raise = raise;
        _backOff = new BackOff(settings.MaxBackOff);
    }

    /// <inheritdoc/>
    public LinkPeer Peer => _dialer.Peer;

    /// <summary>Called once when the link's thread has ended and everything is handed back.</summary>
    internal Action<OutgoingLink>? Ended { get; init; }

    /// <inheritdoc/>
    public LinkStatus Status
    {
        get
        {
            lock (_gate)
            {
                var sent = _formerBytes.Sent + (_connection?.Writer.ByteCount ?? 0);
                var received = _formerBytes.Received + (_connection?.BytesReceived ?? 0);
                return new LinkStatus(
                    Peer, LinkDirection.Outgoing, _connection is not null, sent, received, _acknowledgedCount, _resentCount, _queue.Credits, _queue.QueuedCost, Math.Max(0, _connectionCount - 1));
            }
        }
    }

    /// <summary>Begins to connect.</summary>
    internal void Start() => new Thread(Run) { IsBackground = true, Name = $"link to {Peer.Node}" }.Start();

    /// <inheritdoc/>
    public void Send(FrameHeader header, IFramePayload payload)
    {
        OutgoingLimits.Check(header, payload, _settings.Limits);
        lock (_gate)
        {
            if (!_isClosed)
            {
                _queue.Add(header, payload);
                Monitor.PulseAll(_gate);
                return;
            }
        }

        payload.HandBack(header.Key, FrameOutcome.Abandoned);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        IReadOnlyList<OutgoingFrame> left = [];
        lock (_gate)
        {
            _isClosed = true;
            // Amid a frame there is no room for a farewell; else the link's thread says it, once it has done with connecting: nobody waits for that to have memory back.
            if (_isWriting) _connection?.Close();
            else left = _queue.Abandon();
            Monitor.PulseAll(_gate);
        }

        Abandon(left);
    }

    private void Run()
    {
        var isLossTold = false;
        while (!IsClosed)
        {
            try
            {
                using var connection = Connect();
                isLossTold = false;
                Pump(connection);
            }
#pragma warning disable CA1031 // Whatever a connection ends with, the link goes on; this thread has nobody to throw to.
            catch (Exception fault)
#pragma warning restore CA1031
            {
                if (IsClosed || IsFinal(fault)) break;
                if (!isLossTold) _raise(new LinkLost(Peer, LinkDirection.Outgoing, LinkFaults.LossOf(fault), fault.Message));
                isLossTold = true;
                Pause(_backOff.Next());
            }
        }

        Finish();
    }

    private bool IsClosed
    {
        get
        {
            lock (_gate) return _isClosed;
        }
    }

    private SendingConnection Connect()
    {
        ulong acknowledged;
        lock (_gate) acknowledged = _queue.Acknowledged;
        var (transport, reader, welcome) = _dialer.Connect(acknowledged);
        transport.ReceiveTimeout = _settings.Silence;
        var hasChecksum = _settings.HasChecksums && transport.Kind != LinkKind.Tls;
        var connection = new SendingConnection(transport, reader, hasChecksum, TakeReceipt, Wake);
        try
        {
            Resume(connection, welcome);
        }
        catch
        {
            connection.Dispose();
            throw;
        }

        _raise(new LinkConnected(Peer, LinkDirection.Outgoing, _connectionCount > 1));
        connection.Start();
        return connection;
    }

    private void Resume(SendingConnection connection, LinkWelcome welcome)
    {
        IReadOnlyList<OutgoingFrame> done;
        lock (_gate)
        {
            (done, var resendCount) = _queue.Resume(welcome.Received, welcome.Consumed, welcome.Window);
            _resentCount += resendCount;
            _connectionCount++;
            _connection = connection;
        }

        HandBack(done);
    }

    private void Pump(SendingConnection connection)
    {
        try
        {
            while (Next(connection, out var frame)) Write(connection, frame);
            if (IsClosed && connection.Fault is null) connection.Writer.Write(new LinkRecord(LinkRecordKind.Farewell, 0, 0));
        }
        catch (IOException) when (connection.AwaitFault() is not null)
        {
            // The writer noticed that the connection is gone; the reader knows why, and that is thrown below.
        }
        finally
        {
            connection.Dispose();
            lock (_gate)
            {
                _connection = null;
                _formerBytes = (_formerBytes.Sent + connection.Writer.ByteCount, _formerBytes.Received + connection.BytesReceived);
            }
        }

        if (connection.Fault is { } ended && !IsClosed) ExceptionDispatchInfo.Throw(ended);
    }

    /// <summary>Waits for something to write: a frame, or null for a ping. False when the connection or the link ends.</summary>
    private bool Next(SendingConnection connection, out OutgoingFrame? frame)
    {
        lock (_gate)
        {
            frame = null;
            while (!_isClosed && connection.Fault is null)
            {
                frame = _queue.Take();
                var untilPing = _isReceiptWanted ? TimeSpan.Zero : _settings.Heartbeat - Stopwatch.GetElapsedTime(_wroteAt);
                if (frame is null && untilPing > TimeSpan.Zero)
                {
                    Monitor.Wait(_gate, untilPing);
                    continue;
                }

                _isWriting = true;
                return true;
            }

            return false;
        }
    }

    private void Write(SendingConnection connection, OutgoingFrame? frame)
    {
        OutgoingFrame? done = null;
        try
        {
            if (frame is null)
            {
                connection.Writer.Write(new LinkRecord(LinkRecordKind.Ping, 0, 0));
            }
            else
            {
                connection.Writer.Write(frame);
                frame.Payload.Sent();
            }
        }
        finally
        {
            lock (_gate)
            {
                _isWriting = false;
                _isReceiptWanted = frame is not null && (_isReceiptWanted || frame.Payload.IsAwaited);
                _wroteAt = Stopwatch.GetTimestamp();
                if (frame is not null) done = _queue.Sent();
            }
        }

        if (done is not null) HandBack([done]);
    }

    private void TakeReceipt(ulong number, long consumed)
    {
        IReadOnlyList<OutgoingFrame> done;
        lock (_gate)
        {
            if (number > _queue.Acknowledged) _corruptCount = 0;
            done = _queue.Acknowledge(number, consumed);
            _backOff.Reset();
            Monitor.PulseAll(_gate);
        }

        HandBack(done);
    }

    private void Wake()
    {
        lock (_gate) Monitor.PulseAll(_gate);
    }

    private void Pause(TimeSpan time)
    {
        lock (_gate)
        {
            if (!_isClosed) Monitor.Wait(_gate, time);
        }
    }

    private bool IsFinal(Exception fault)
    {
        var rejection = LinkFaults.RejectionOf(fault);
        if (rejection is null) return false;
        if (rejection.IsPassing && (rejection.Verdict != LinkVerdict.Corrupt || ++_corruptCount < MaxCorruptCount)) return false;
        lock (_gate) _isClosed = true;
        _raise(new LinkEnded(Peer, rejection.Verdict, rejection.Generation, rejection.Message));
        return true;
    }

    private void Finish()
    {
        IReadOnlyList<OutgoingFrame> left;
        lock (_gate) left = _queue.Abandon();
        Abandon(left);
        Ended?.Invoke(this);
    }

    private static void Abandon(IReadOnlyList<OutgoingFrame> left)
    {
        foreach (var frame in left) frame.Payload.HandBack(frame.Header.Key, FrameOutcome.Abandoned);
    }

    private void HandBack(IReadOnlyList<OutgoingFrame> done)
    {
        Interlocked.Add(ref _acknowledgedCount, done.Count);
        foreach (var frame in done) frame.Payload.HandBack(frame.Header.Key, FrameOutcome.Acknowledged);
    }
}
