namespace Pipeline.Protocol.Links;

/// <summary>A link's figures at one moment, for <c>status --json</c>.</summary>
/// <param name="Peer">Other end.</param>
/// <param name="Direction">Whether this node sends or receives.</param>
/// <param name="IsConnected">Whether a connection works.</param>
/// <param name="BytesSent">Bytes written, headers and acknowledgements included.</param>
/// <param name="BytesReceived">Bytes read.</param>
/// <param name="FrameCount">Frames acknowledged, or received.</param>
/// <param name="ResentCount">Frames sent more than once; at the receiver: repeated ones dropped.</param>
/// <param name="CreditBytes">What the receiver would still take now.</param>
/// <param name="QueuedBytes">What waits to be sent or acknowledged; at the receiver: what waits to be consumed.</param>
/// <param name="ReconnectCount">Connections after the first.</param>
public sealed record LinkStatus(
    LinkPeer Peer,
    LinkDirection Direction,
    bool IsConnected,
    long BytesSent,
    long BytesReceived,
    long FrameCount,
    long ResentCount,
    long CreditBytes,
    long QueuedBytes,
    long ReconnectCount);
