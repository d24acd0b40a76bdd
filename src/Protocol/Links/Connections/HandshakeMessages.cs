using MessagePack;

namespace Pipeline.Protocol.Links;

/// <summary>The connecting node's side of a handshake.</summary>
/// <param name="Cluster">What both must agree on: the cluster's name and the fingerprint of its configuration.</param>
/// <param name="Node">Name of the connecting node.</param>
/// <param name="Incarnation">Its process.</param>
/// <param name="Expected">Incarnation of the process that it wants to talk to.</param>
/// <param name="Claim">What the connection is for.</param>
/// <param name="Link">Number of the link, the same over all its connections.</param>
/// <param name="Acknowledged">Number of the last frame that it knows to be received.</param>
/// <param name="Nonce">Drawn for this connection.</param>
[MessagePackObject]
public sealed record LinkHello(
    [property: Key(0)] string Cluster,
    [property: Key(1)] string Node,
    [property: Key(2)] ulong Incarnation,
    [property: Key(3)] ulong Expected,
    [property: Key(4)] LinkClaim Claim,
    [property: Key(5)] ulong Link,
    [property: Key(6)] ulong Acknowledged,
    [property: Key(7)] ulong Nonce);

/// <summary>The accepting node's answer.</summary>
/// <param name="Verdict">Whether it takes the connection.</param>
/// <param name="Generation">Latest assignment of the run that it knows; 1 if it knows none.</param>
/// <param name="Received">Number of the last frame received on the link.</param>
/// <param name="Consumed">Credits that were given back on the link so far.</param>
/// <param name="Window">Credits of the link.</param>
/// <param name="Reason">For people.</param>
[MessagePackObject]
public sealed record LinkWelcome(
    [property: Key(0)] LinkVerdict Verdict,
    [property: Key(1)] Generation Generation,
    [property: Key(2)] ulong Received,
    [property: Key(3)] long Consumed,
    [property: Key(4)] long Window,
    [property: Key(5)] string Reason);
