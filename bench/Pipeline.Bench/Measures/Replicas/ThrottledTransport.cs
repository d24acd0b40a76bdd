using Pipeline.Protocol.Links;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// A connection that sends no faster than a given rate: stands for a slower network. Pieces leave when their time has come, so that the rate
/// holds over any stretch longer than one piece. Within a frame a thread that was late makes up for it, as a network goes on that has something to send while a processor is busy with other
/// things; a line that had nothing to send saves nothing up. What is received is bounded by the other end's own throttle.
/// </summary>
/// <param name="inner">The real one. Owned.</param>
/// <param name="bytesPerSecond">The rate.</param>
/// <param name="clock">Time.</param>
internal sealed class ThrottledTransport(ILinkTransport inner, double bytesPerSecond, TimeProvider clock) : ILinkTransport
{
    private const int PieceBytes = 64 << 10;

    /// <summary>Seconds between two frames that are the thread's own: a longer gap says that there was nothing to send.</summary>
    private const double LongestGap = 0.002;
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
        var now = Now;
        if (now - _due > LongestGap) _due = now;
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

    private double Now => clock.GetElapsedTime(_start).TotalSeconds;

    /// <summary>Waits until so many bytes may have left.</summary>
    private void Await(int byteCount)
    {
        _due += byteCount / bytesPerSecond;
        var left = _due - Now;
        if (left > 0) _closed.Wait(TimeSpan.FromSeconds(left));
    }
}
