namespace Pipeline.Protocol.Links;

/// <summary>
/// Reads a transport in exact pieces: small ones through a small buffer, so that prefix, header and the start of a block take one call;
/// large ones straight to where they belong.
/// </summary>
internal sealed class TransportReader(ILinkTransport transport)
{
    private readonly byte[] _buffer = new byte[8192];
    private int _start;
    private int _end;
    private long _byteCount;

    /// <summary>Bytes taken from the transport so far.</summary>
    internal long ByteCount => Volatile.Read(ref _byteCount);

    /// <summary>Whether there is something to read, or comes within a moment.</summary>
    internal bool AwaitData(TimeSpan patience) => _start < _end || transport.AwaitData(patience);

    /// <summary>The next bytes, valid until the next call.</summary>
    /// <exception cref="EndOfStreamException">The other end closed before or amid them.</exception>
    internal ReadOnlyMemory<byte> Take(int count)
    {
        if (_end - _start < count) Refill(count);
        var taken = _buffer.AsMemory(_start, count);
        _start += count;
        return taken;
    }

    /// <summary>Reads the next bytes to a place of their own, at most so many as one call gives.</summary>
    /// <param name="into">The place.</param>
    /// <param name="most">Most bytes wanted at once.</param>
    /// <returns>At least 1.</returns>
    /// <exception cref="EndOfStreamException">The other end closed.</exception>
    internal int Read(Span<byte> into, int most = int.MaxValue)
    {
        var buffered = Math.Min(_end - _start, into.Length);
        // What follows amid a block belongs behind it, not into the small buffer.
        if (buffered == 0) return into.Length <= most ? ReceiveAhead(into) : Receive(into[..most], []);
        _buffer.AsSpan(_start, buffered).CopyTo(into);
        _start += buffered;
        return buffered;
    }

    // What comes in one call with the end of the wanted bytes is the start of the next record.
    private int ReceiveAhead(Span<byte> into)
    {
        var count = Receive(into, _buffer);
        (_start, _end) = (0, Math.Max(0, count - into.Length));
        return Math.Min(count, into.Length);
    }

    private void Refill(int count)
    {
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        _end -= _start;
        _start = 0;
        while (_end < count) _end += Receive(_buffer.AsSpan(_end), []);
    }

    private int Receive(Span<byte> into, Span<byte> spare)
    {
        var count = transport.Receive(into, spare);
        if (count == 0) throw new EndOfStreamException("The other end closed the connection.");
        Volatile.Write(ref _byteCount, _byteCount + count);
        return count;
    }
}
