using System.Net.Sockets;
using Akka.Actor;
using static Pipeline.Protocol.Links.TunnelProtocol;

namespace Pipeline.Protocol.Links;

/// <summary>
/// One end of a tunnel as a stream of bytes. Blocking; its actor only puts chunks and receipts in. A few chunks are under way at a time,
/// since Akka.Remote itself would queue without bound.
/// </summary>
internal sealed class TunnelTransport(string source) : ILinkTransport
{
    /// <summary>Chunks on their way in one direction: about 2 MiB.</summary>
    internal const int Window = 32;

    private const int ReceiptEvery = Window / 4;

    private readonly object _gate = new();
    private readonly Queue<ReadOnlyMemory<byte>> _arrived = new();
    private IActorRef? _own;
    private IActorRef? _peer;
    private ReadOnlyMemory<byte> _current;
    private long _sent;
    private long _sentReceived;
    private long _received;
    private long _taken;
    private string? _end;
    private bool _isOver;
    private TimeSpan? _receiveTimeout;

    /// <inheritdoc/>
    public LinkKind Kind => LinkKind.Akka;

    /// <inheritdoc/>
    public string Source => source;

    /// <inheritdoc/>
    public bool CanSend
    {
        get
        {
            lock (_gate) return _sent - _sentReceived < Window;
        }
    }

    /// <inheritdoc/>
    public TimeSpan? ReceiveTimeout
    {
        set
        {
            lock (_gate) _receiveTimeout = value;
        }
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> body)
    {
        while (head.Length + body.Length > 0)
        {
            var bytes = new byte[Math.Min(TunnelChunk.MaxLength, head.Length + body.Length)];
            var fromHead = Math.Min(head.Length, bytes.Length);
            head[..fromHead].CopyTo(bytes);
            body[..(bytes.Length - fromHead)].CopyTo(bytes.AsSpan(fromHead));
            head = head[fromHead..];
            body = body[(bytes.Length - fromHead)..];
            Send(bytes);
        }
    }

    /// <inheritdoc/>
    public int Receive(Span<byte> into, Span<byte> spare)
    {
        lock (_gate)
        {
            if (_current.IsEmpty && !TakeChunk()) return 0;
            var count = Math.Min(into.Length, _current.Length);
            _current.Span[..count].CopyTo(into);
            _current = _current[count..];
            return count;
        }
    }

    /// <inheritdoc/>
    public bool AwaitData(TimeSpan patience)
    {
        lock (_gate) return !_current.IsEmpty || _arrived.Count > 0 || _end is not null || Monitor.Wait(_gate, patience);
    }

    /// <inheritdoc/>
    public void Close()
    {
        lock (_gate)
        {
            if (_isOver) return;
            End("This end closed the tunnel.");
            _isOver = true;
            _peer?.Tell(new CloseTunnel(), _own);
        }

        _own?.Tell(PoisonPill.Instance);
    }

    /// <inheritdoc/>
    public void Dispose() => Close();

    /// <summary>The other end is known.</summary>
    internal void Open(IActorRef own, IActorRef peer)
    {
        lock (_gate)
        {
            (_own, _peer) = (own, peer);
            if (_isOver) own.Tell(PoisonPill.Instance);
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Waits for the other end.</summary>
    /// <exception cref="IOException">There is none in time.</exception>
    internal void AwaitOpening(TimeSpan patience)
    {
        lock (_gate)
        {
            if (_peer is not null || _end is not null || Monitor.Wait(_gate, patience) && _peer is not null) return;
            throw new IOException($"No answer from {source} over Akka in time.", new SocketException((int)SocketError.TimedOut));
        }
    }

    /// <summary>A chunk has come.</summary>
    internal void Arrive(TunnelChunk chunk)
    {
        lock (_gate)
        {
            if (chunk.Number != ++_received || chunk.Bytes.Length is 0 or > TunnelChunk.MaxLength || _received - _taken > Window)
                End($"Chunk {_received} was expected, {chunk.Number} came: Akka lost a message.");
            if (_end is null) _arrived.Enqueue(chunk.Bytes);
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>A receipt has come.</summary>
    internal void Arrive(TunnelReceipt receipt)
    {
        lock (_gate)
        {
            if (receipt.Number > _sentReceived && receipt.Number <= _sent) _sentReceived = receipt.Number;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Nothing will come or go any more; what has come can still be read.</summary>
    internal void End(string reason)
    {
        lock (_gate)
        {
            _end ??= reason;
            Monitor.PulseAll(_gate);
        }
    }

    private void Send(byte[] bytes)
    {
        lock (_gate)
        {
            while (_end is null && _sent - _sentReceived >= Window) Monitor.Wait(_gate);
            if (_end is not null) throw new IOException(_end);
            _peer!.Tell(new TunnelChunk(++_sent, bytes), _own);
        }
    }

    private bool TakeChunk()
    {
        while (_arrived.Count == 0)
        {
            if (_isOver) throw new IOException(_end);
            if (_end is not null) return false;
            if (!Monitor.Wait(_gate, _receiveTimeout ?? Timeout.InfiniteTimeSpan))
                throw new IOException($"Nothing was heard from {source}.", new SocketException((int)SocketError.TimedOut));
        }

        _current = _arrived.Dequeue();
        if (++_taken % ReceiptEvery == 0) _peer?.Tell(new TunnelReceipt(_taken), _own);
        return true;
    }
}
