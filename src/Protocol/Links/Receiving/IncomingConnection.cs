using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Links;

/// <summary>
/// One connection that was let in, on the thread that reads it: frames go to the sink in order, each number once; receipts go back. It ends
/// with the first byte that is not as it should be.
/// </summary>
internal sealed class IncomingConnection(
    ILinkTransport transport, TransportReader reader, ReceiveState state, IFrameSink sink, LinkSettings settings, Func<RunId, Generation> fence)
{
    // A sender that sends on gets one receipt for many frames, and its receiving thread sleeps; one that stops gets it after this.
    private static readonly TimeSpan ReceiptDelay = TimeSpan.FromMilliseconds(1);

    private readonly ReceiptWriter _receipts = new(transport, state, settings.WindowBytes);
    private readonly FrameReader _frames = new(reader, settings.Limits, settings.HasChecksums && transport.Kind != LinkKind.Tls);
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly LinkPeer _peer = state.Peer;
    private bool _isWaiting;

    private Generation Latest => fence(_peer.Claim.Run);

    /// <summary>Bytes read on this connection.</summary>
    internal long BytesReceived => reader.ByteCount;

    /// <summary>Bytes written on this connection.</summary>
    internal long BytesSent => _receipts.ByteCount;

    /// <summary>Answers the hello and reads until the connection ends.</summary>
    /// <param name="welcome">Seals and sends the answer.</param>
    /// <returns>Whether the sender said farewell.</returns>
    internal bool Run(Action<LinkWelcome> welcome)
    {
        state.Bind(this);
        try
        {
            var (received, consumed, _) = state.Totals;
            _receipts.Begin(received, consumed);
            welcome(new LinkWelcome(LinkVerdict.Accepted, Latest, received, consumed, settings.WindowBytes, ""));
            transport.ReceiveTimeout = settings.Silence;
            while (Step())
            {
            }

            return true;
        }
        catch (FrameCorruptException)
        {
            Reject(LinkVerdict.Corrupt);
            throw;
        }
        finally
        {
            transport.Close();
            state.Unbind(this);
            _stopped.SetResult();
        }
    }

    /// <summary>Tells the sender why the connection ends, and ends it.</summary>
    internal void Reject(LinkVerdict verdict)
    {
        try
        {
            _receipts.Reject(verdict, Latest);
        }
        catch (IOException)
        {
            // It is gone already.
        }

        transport.Close();
    }

    /// <summary>Ends it and returns when nothing is delivered by it any more. Not from a sink.</summary>
    internal void CloseAndWait()
    {
        transport.Close();
        _stopped.Task.Wait();
    }

    /// <summary>Credits were given back.</summary>
    internal void Consumed()
    {
        try
        {
            // Either this thread sees that the reader waits, or the reader, which looks after it says so, sees the credits.
            Interlocked.MemoryBarrier();
            _receipts.Write(Volatile.Read(ref _isWaiting));
        }
        catch (IOException)
        {
            // The reader notices it too.
        }
    }

    private bool Step()
    {
        if (!reader.AwaitData(ReceiptDelay))
        {
            Volatile.Write(ref _isWaiting, true);
            Interlocked.MemoryBarrier();
            _receipts.Write(isIdle: true);
        }

        var record = LinkRecord.Read(reader.Take(LinkRecord.Length).Span);
        Volatile.Write(ref _isWaiting, false);
        if (_peer.Claim.Purpose == LinkPurpose.Frames && _peer.Claim.Generation < Latest) throw Rejection(LinkVerdict.Fenced, $"{_peer} was replaced by generation {Latest}.");
        if (!transport.IsTrusted) throw Rejection(LinkVerdict.NotAuthenticated, $"The certificate of {_peer} is no longer valid.");
        switch (record.Kind)
        {
            case LinkRecordKind.Frame:
                Take(record);
                return true;
            case LinkRecordKind.Ping:
                _receipts.Write(isIdle: true, isAnswer: true);
                return true;
            case LinkRecordKind.Farewell:
                return false;
            default:
                throw new LinkProtocolException($"A sender does not send a {record.Kind}.");
        }
    }

    private LinkProtocolException Rejection(LinkVerdict verdict, string reason)
    {
        Reject(verdict);
        return new LinkProtocolException(reason);
    }

    private void Take(LinkRecord record)
    {
        var parsed = _frames.ReadHeader(record.Small);
        var (received, _, _) = state.Totals;
        if (record.Large == 0 || record.Large > received + 1) throw new LinkProtocolException($"Expected frame {received + 1}, found {record.Large}.");
        if (record.Large <= received)
        {
            state.RepeatCount++;
            _frames.SkipBlock(parsed);
            return;
        }

        Judge(parsed.Header.Key);
        Deliver(record.Large, parsed);
    }

    private void Judge(FrameKey key)
    {
        var (run, generation) = (key.Step.Run, key.Step.Generation);
        if (run != _peer.Claim.Run || generation != _peer.Claim.Generation)
            throw new LinkProtocolException($"A frame of run {run}, generation {generation} on the link for {_peer.Claim}.");
    }

    private void Deliver(ulong number, in ParsedHeader parsed)
    {
        var buffer = sink.Rent(_peer, parsed.Header);
        var isDelivered = false;
        try
        {
            if (!_frames.ReadBlock(parsed, buffer)) throw new FrameCorruptException(parsed.Header.Key);
            var cost = OutgoingFrame.CostOf(parsed.BlockLength);
            state.Receive(number, cost);
            isDelivered = true;
            sink.Arrived(new ArrivedFrame(_peer, parsed.Header, buffer, cost, state.Consume));
        }
        finally
        {
            if (!isDelivered) buffer.Dispose();
        }
    }
}

/// <summary>A frame's checksum does not match: it was altered on its way, and is asked for once more.</summary>
internal sealed class FrameCorruptException(FrameKey key) : Exception($"Tensor frame {key}: the checksum does not match; it is asked for again.");
