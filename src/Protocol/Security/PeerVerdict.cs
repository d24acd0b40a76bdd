namespace Pipeline.Protocol.Security;

/// <summary>Whether a peer is let in: who it is, or a sentence that says why not.</summary>
/// <param name="Identity">Who it is; null if refused.</param>
/// <param name="Reason">Why it is refused; null if let in.</param>
public sealed record PeerVerdict(PeerIdentity? Identity, string? Reason)
{
    /// <summary>Whether it is let in.</summary>
    public bool IsAccepted => Identity is not null;

    internal static PeerVerdict Accept(PeerIdentity identity) => new(identity, null);

    internal static PeerVerdict Refuse(string reason) => new(null, reason);
}
