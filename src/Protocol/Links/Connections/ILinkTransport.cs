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
    int Receive(Span<byte> into);

    /// <summary>Whether a receive would have to wait (where that cannot be told: true).</summary>
    bool IsIdle { get; }

    /// <summary>Whether a few bytes can be sent without waiting.</summary>
    bool CanSend { get; }

    /// <summary>How long a receive waits before it fails; null for ever.</summary>
    TimeSpan? ReceiveTimeout { set; }

    /// <summary>Ends it from any thread: whoever sends or receives fails.</summary>
    void Close();
}
