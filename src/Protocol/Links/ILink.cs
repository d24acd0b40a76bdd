using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Links;

/// <summary>
/// The sending end of the way to one rank of another process. Frames arrive in the order of sending, each exactly once as long as both
/// processes live, whatever happens to the connection in between. Disposing gives up: what was not acknowledged is handed back.
/// </summary>
public interface ILink : IDisposable
{
    /// <summary>The other end.</summary>
    LinkPeer Peer { get; }

    /// <summary>
    /// Queues a frame. Never blocks, so that no schedule can deadlock on it; what is queued is bounded by what the schedule lets a stage
    /// send ahead. The payload is read until it is handed back; a link that has ended hands it back at once.
    /// </summary>
    /// <exception cref="FrameTooLargeException">It exceeds the limits: nothing was sent.</exception>
    void Send(FrameHeader header, IFramePayload payload);

    /// <summary>Figures for people, taken at this moment.</summary>
    LinkStatus Status { get; }
}

/// <summary>
/// Bytes that a link sends straight from where they lie. The owner keeps them; the link only reads them, from
/// <see cref="ILink.Send"/> until <see cref="HandBack"/>. The same payload may be sent again afterwards, to whom ever.
/// </summary>
public interface IFramePayload
{
    /// <summary>Bytes of one tensor of the header; native memory is welcome. Length as the header says.</summary>
    ReadOnlyMemory<byte> BytesOf(int tensor);

    /// <summary>Whether somebody waits for the hand-back: the receiver is then asked for its receipt as soon as nothing more can be sent.</summary>
    bool IsAwaited => false;

    /// <summary>
    /// All bytes were written to a connection; they are read again only if that breaks before the receiver has them. Called for each writing, on the link's thread: must not block or throw.
    /// </summary>
    void Sent()
    {
    }

    /// <summary>
    /// The link no longer reads the bytes. Called once for each sending, on a thread of the link or of who disposes it: must not block or throw.
    /// </summary>
    void HandBack(FrameKey key, FrameOutcome outcome);
}

/// <summary>What became of a frame.</summary>
public enum FrameOutcome
{
    /// <summary>The receiver has it.</summary>
    Acknowledged = 0,

    /// <summary>The link ended first; whether the receiver has it is not known.</summary>
    Abandoned = 1,
}

/// <summary>Bytes that lie in managed or other memory as one block for each tensor.</summary>
/// <param name="tensors">One for each tensor of the header.</param>
/// <param name="handedBack">What to do when the link no longer reads them; may be null.</param>
public sealed class MemoryPayload(IReadOnlyList<ReadOnlyMemory<byte>> tensors, Action<FrameKey, FrameOutcome>? handedBack = null) : IFramePayload
{
    /// <inheritdoc/>
    public ReadOnlyMemory<byte> BytesOf(int tensor) => tensors[tensor];

    /// <inheritdoc/>
    public void HandBack(FrameKey key, FrameOutcome outcome) => handedBack?.Invoke(key, outcome);
}
