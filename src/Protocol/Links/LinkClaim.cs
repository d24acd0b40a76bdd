using MessagePack;

namespace Pipeline.Protocol.Links;

/// <summary>What a connection is for.</summary>
public enum LinkPurpose
{
    /// <summary>Tensor frames from one rank to another.</summary>
    Frames = 0,

    /// <summary>Copies of a stage's state, which must not delay frames.</summary>
    Copy = 1,

    /// <summary>Nothing but to notice at once when the other process dies.</summary>
    Probe = 2,
}

/// <summary>What a connecting node says that it wants.</summary>
/// <param name="Purpose">What the connection is for.</param>
/// <param name="Run">Run.</param>
/// <param name="Generation">Assignment that the sender acts under; refused if the receiver knows a later one.</param>
/// <param name="FromRank">Sending rank.</param>
/// <param name="ToRank">Receiving rank.</param>
[MessagePackObject]
public readonly record struct LinkClaim(
    [property: Key(0)] LinkPurpose Purpose,
    [property: Key(1)] RunId Run,
    [property: Key(2)] Generation Generation,
    [property: Key(3)] int FromRank,
    [property: Key(4)] int ToRank)
{
    /// <summary>The claim of a connection that only watches.</summary>
    public static LinkClaim Probe { get; } = new(LinkPurpose.Probe, default, Generation.First, 0, 0);

    /// <inheritdoc/>
    public override string ToString() => Purpose == LinkPurpose.Probe
        ? "probe"
        : $"{Purpose} of rank {FromRank} to rank {ToRank}, run {Run}, generation {Generation}";
}

/// <summary>The other end of a link.</summary>
/// <param name="Node">Its name.</param>
/// <param name="Incarnation">Its process.</param>
/// <param name="Kind">What carries the bytes.</param>
/// <param name="Claim">What the link is for.</param>
public sealed record LinkPeer(string Node, ulong Incarnation, LinkKind Kind, LinkClaim Claim)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Node} over {Kind} ({Claim})";
}
