using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Links;

/// <summary>
/// Who takes a rank's frames. Called by the connection's reading thread, one call at a time for each link; it must not block, and what it
/// throws ends the connection.
/// </summary>
public interface IFrameSink
{
    /// <summary>Memory for a frame whose header was read and found acceptable.</summary>
    /// <returns>Owned by the link until the frame arrives; disposed by it if the frame does not.</returns>
    IFrameBuffer Rent(LinkPeer from, FrameHeader header);

    /// <summary>A frame is complete and, where the link has checksums, unaltered. Takes ownership of its buffer.</summary>
    void Arrived(ArrivedFrame frame);
}

/// <summary>Memory that a frame is received into: the tensors' own, or a pooled block.</summary>
public interface IFrameBuffer : IDisposable
{
    /// <summary>Place of one tensor, exactly as long as the header says, starting at a multiple of 64 bytes.</summary>
    Memory<byte> BytesOf(int tensor);
}

/// <summary>A frame that has arrived. Its owner says once when it no longer counts against the sender's credits.</summary>
public sealed class ArrivedFrame
{
    private readonly Action<long>? _consumed;
    private long _cost;

    internal ArrivedFrame(LinkPeer from, FrameHeader header, IFrameBuffer buffer, long cost, Action<long>? consumed)
    {
        From = from;
        Header = header;
        Buffer = buffer;
        _cost = cost;
        _consumed = consumed;
    }

    /// <summary>Who sent it.</summary>
    public LinkPeer From { get; }

    /// <summary>What it is.</summary>
    public FrameHeader Header { get; }

    /// <summary>Its bytes; the receiver of the arrival disposes them, which does not give credits back by itself.</summary>
    public IFrameBuffer Buffer { get; }

    /// <summary>Gives the credits back: the sender may send as much again. Any thread; only the first call counts.</summary>
    public void Consume()
    {
        var cost = Interlocked.Exchange(ref _cost, 0);
        if (cost > 0) _consumed?.Invoke(cost);
    }
}
