using Pipeline.Protocol.Links;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// A connection that sends no faster than a given rate: stands for a slower network. Pieces leave when their time has come, so that the rate
/// holds over any stretch longer than one piece. What is received is bounded by the other end's own throttle.
/// </summary>
/// <param name="inner">The real one. Owned.</param>
/// <param name="bytesPerSecond">The rate.</param>
/// <param name="clock">Time.</param>
internal sealed class ThrottledTransport(ILinkTransport inner, double bytesPerSecond, TimeProvider clock) : ILinkTransport
{
    private const int PieceBytes = 64 << 10;

    /// <summary>Seconds that a wait may have lasted too long: the time is made up for. A line that was idle for longer saves nothing up.</summary>
    private const double LatenessMadeUpFor = 0.01;
    private readonly long _start = clock.GetTimestamp();
    private readonly ManualResetEventSlim _closed = new();
    private double _due;

    /// <inheritdoc/>
    public LinkKind Kind => inner.Kind;

    /// <inheritdoc/>
    public string Source => inner.Source;

    /// <inheritdoc/>
    public bool CanSend => inner.CanSend;

    /// <inheritdoc/>
    public bool IsTrusted => inner.IsTrusted;

    /// <inheritdoc/>
    public TimeSpan? ReceiveTimeout
    {
        set => inner.ReceiveTimeout = value;
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> body)
    {
        var first = body[..Math.Min(PieceBytes, body.Length)];
        Await(head.Length + first.Length);
        inner.Send(head, first);
        for (body = body[first.Length..]; !body.IsEmpty;)
        {
            var piece = body[..Math.Min(PieceBytes, body.Length)];
            Await(piece.Length);
            inner.Send(piece, default);
            body = body[piece.Length..];
        }
    }

    /// <inheritdoc/>
    public int Receive(Span<byte> into, Span<byte> spare) => inner.Receive(into, spare);

    /// <inheritdoc/>
    public bool AwaitData(TimeSpan patience) => inner.AwaitData(patience);

    /// <inheritdoc/>
    public void Close()
    {
        _closed.Set();
        inner.Close();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _closed.Set();
        inner.Dispose();
    }

    /// <summary>Waits until so many bytes may have left.</summary>
    private void Await(int byteCount)
    {
        var now = clock.GetElapsedTime(_start).TotalSeconds;
        if (now - _due > LatenessMadeUpFor) _due = now;
        _due += byteCount / bytesPerSecond;
        var left = _due - now;
        if (left > 0) _closed.Wait(TimeSpan.FromSeconds(left));
    }
}
