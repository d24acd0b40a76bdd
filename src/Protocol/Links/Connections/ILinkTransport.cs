namespace Pipeline.Protocol.Links;

/// <summary>
/// A stream of bytes between two processes, in order or broken. One thread sends and one receives at a time; closing unblocks both.
/// Failures are <see cref="IOException"/>s, those of sockets with a <c>SocketException</c> inside.
/// </summary>
internal interface ILinkTransport : IDisposable
{
    /// <summary>What it is.</summary>
    LinkKind Kind { get; }

    /// <summary>Where the other end is, for limits and warnings: an address without port.</summary>
    string Source { get; }

    /// <summary>Sends all bytes, first the head, then the body.</summary>
    void Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> body);

    /// <summary>Receives at least one byte; 0 when the other end closed.</summary>
    /// <param name="into">Filled first.</param>
    /// <param name="spare">Takes what comes after it, where that costs nothing; may stay empty.</param>
    int Receive(Span<byte> into, Span<byte> spare);

    /// <summary>Waits for something to receive (or for the end), at most so long; false where that cannot be told.</summary>
    bool AwaitData(TimeSpan patience);

    /// <summary>Whether a few bytes can be sent without waiting.</summary>
    bool CanSend { get; }

    /// <summary>Whether the other end's proof of who it is still holds: a certificate may expire or be revoked.</summary>
    bool IsTrusted => true;

    /// <summary>How long a receive waits before it fails; null for ever.</summary>
    TimeSpan? ReceiveTimeout { set; }

    /// <summary>Ends it from any thread: whoever sends or receives fails.</summary>
    void Close();
}
