namespace Pipeline.Protocol.Links;

/// <summary>
/// What a receiver knows of one link over all its connections: the last frame it has got and the credits it gave back. Thread-safe; at most
/// one connection is bound to it, and binding another ends the one before and waits for it, so that a frame is never delivered twice.
/// </summary>
internal sealed class ReceiveState(LinkPeer peer)
{
    private readonly Lock _gate = new();
    private IncomingConnection? _connection;
    private ulong _received;
    private long _consumed;
    private long _arrived;

    /// <summary>Sender and claim.</summary>
    internal LinkPeer Peer { get; } = peer;

    /// <summary>Connections so far.</summary>
    internal long ConnectionCount { get; private set; }

    /// <summary>Frames that came again and were dropped.</summary>
    internal long RepeatCount { get; set; }

    /// <summary>Bytes read and written on former connections.</summary>
    internal (long Read, long Written) FormerBytes { get; private set; }

    /// <summary>The connection now bound; null between connections.</summary>
    internal IncomingConnection? Connection
    {
        get
        {
            lock (_gate) return _connection;
        }
    }

    /// <summary>Number of the last frame received, and credits given back.</summary>
    internal (ulong Received, long Consumed, long Held) Totals
    {
        get
        {
            lock (_gate) return (_received, _consumed, _arrived - _consumed);
        }
    }

    /// <summary>Figures for people.</summary>
    internal LinkStatus Status(long window)
    {
        lock (_gate)
        {
            var held = _arrived - _consumed;
            return new LinkStatus(
                Peer, LinkDirection.Incoming, _connection is not null, FormerBytes.Written + (_connection?.BytesSent ?? 0), FormerBytes.Read + (_connection?.BytesReceived ?? 0),
                (long)_received, RepeatCount, Math.Max(0, window - held), held, Math.Max(0, ConnectionCount - 1));
        }
    }

    /// <summary>Makes a connection the link's, once the former one has stopped.</summary>
    internal void Bind(IncomingConnection connection)
    {
        while (true)
        {
            IncomingConnection? former;
            lock (_gate)
            {
                former = _connection;
                if (former is null)
                {
                    _connection = connection;
                    ConnectionCount++;
                    return;
                }
            }

            former.CloseAndWait();
        }
    }

    /// <summary>A connection has stopped: nothing is delivered by it any more.</summary>
    internal void Unbind(IncomingConnection connection)
    {
        lock (_gate)
        {
            if (_connection != connection) return;
            _connection = null;
            FormerBytes = (FormerBytes.Read + connection.BytesReceived, FormerBytes.Written + connection.BytesSent);
        }
    }

    /// <summary>Counts a frame as received: from here on it is not taken again.</summary>
    internal void Receive(ulong number, long cost)
    {
        lock (_gate)
        {
            _received = number;
            _arrived += cost;
        }
    }

    /// <summary>Gives credits back; the bound connection tells the sender.</summary>
    internal void Consume(long cost)
    {
        IncomingConnection? connection;
        lock (_gate)
        {
            _consumed += cost;
            connection = _connection;
        }

        connection?.Consumed();
    }
}
