namespace Pipeline.Protocol.Links;

/// <summary>What happens to links, told on a thread of the link; the listener passes it on as a message and does not block.</summary>
public abstract record LinkEvent;

/// <summary>A connection of a link works, for the first time or again.</summary>
/// <param name="Peer">Other end.</param>
/// <param name="Direction">Whether this node sends or receives.</param>
/// <param name="IsRestored">Whether there was one before.</param>
public sealed record LinkConnected(LinkPeer Peer, LinkDirection Direction, bool IsRestored) : LinkEvent;

/// <summary>A connection broke, or could not be made; it is tried again. Told once until it works again.</summary>
/// <param name="Peer">Other end.</param>
/// <param name="Direction">Whether this node sends or receives.</param>
/// <param name="Loss">How it was noticed.</param>
/// <param name="Detail">For people.</param>
public sealed record LinkLost(LinkPeer Peer, LinkDirection Direction, LinkLoss Loss, string Detail) : LinkEvent;

/// <summary>A link will not work any more: the other end said why. What was not acknowledged has been handed back.</summary>
/// <param name="Peer">Other end.</param>
/// <param name="Verdict">Why.</param>
/// <param name="Generation">Where fenced: the generation that the other end knows. The process that hears this was replaced.</param>
/// <param name="Detail">For people.</param>
public sealed record LinkEnded(LinkPeer Peer, LinkVerdict Verdict, Generation Generation, string Detail) : LinkEvent;

/// <summary>Something knocked that is not let in, or misbehaved; at most one a source and minute.</summary>
/// <param name="Source">Where it came from.</param>
/// <param name="Text">For people: what it was and what was done.</param>
public sealed record LinkWarning(string Source, string Text) : LinkEvent;

/// <summary>Which end of a link this node is.</summary>
public enum LinkDirection
{
    /// <summary>It sends frames.</summary>
    Outgoing = 0,

    /// <summary>It receives frames.</summary>
    Incoming = 1,
}

/// <summary>How the loss of a connection was noticed.</summary>
public enum LinkLoss
{
    /// <summary>Nobody listens there: the process is gone, or not up yet.</summary>
    Refused = 0,

    /// <summary>The other end closed or its process died.</summary>
    Closed = 1,

    /// <summary>Nothing was heard for too long: frozen, cut off or overloaded. Not proof of death.</summary>
    Silent = 2,

    /// <summary>A frame was altered on its way; it is sent again.</summary>
    Corrupt = 3,

    /// <summary>The other end lives but cannot take the link yet.</summary>
    NotReady = 4,

    /// <summary>The other end broke the protocol.</summary>
    Protocol = 5,
}

/// <summary>The receiver's answer to a connection.</summary>
public enum LinkVerdict
{
    /// <summary>Taken.</summary>
    Accepted = 0,

    /// <summary>It speaks another version of the protocol.</summary>
    OtherVersion = 1,

    /// <summary>It does not know the cluster's secret, or has no valid certificate.</summary>
    NotAuthenticated = 2,

    /// <summary>It belongs to another cluster, or is configured differently.</summary>
    OtherCluster = 3,

    /// <summary>The process that was meant is gone; another one listens in its place.</summary>
    OtherIncarnation = 4,

    /// <summary>It acts under a generation that was replaced.</summary>
    Fenced = 5,

    /// <summary>Its certificate does not allow this.</summary>
    RoleNotAllowed = 6,

    /// <summary>The rank does not take frames yet; try again.</summary>
    NotReady = 7,

    /// <summary>Too many connections; try again.</summary>
    Busy = 8,

    /// <summary>The receiver no longer knows what it has got of this link.</summary>
    Forgotten = 9,

    /// <summary>A frame arrived altered; the receiver asks for it again, and after many times in a row the link ends.</summary>
    Corrupt = 10,
}
