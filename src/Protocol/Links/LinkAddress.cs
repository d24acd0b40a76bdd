using MessagePack;

namespace Pipeline.Protocol.Links;

/// <summary>Where the hub of a node process can be reached, and which process that is: one that took its place has another incarnation.</summary>
/// <param name="Node">Name of the node, for people.</param>
/// <param name="Incarnation">Drawn at the start of the process; a connection that ends in another one is refused.</param>
/// <param name="Host">The machine and its view of files (<see cref="HostIdentity"/>): equal where a Unix socket can be shared.</param>
/// <param name="UnixPath">Path of the Unix socket; empty if there is none.</param>
/// <param name="TcpHost">Name or address of the TCP socket; empty if there is none.</param>
/// <param name="TcpPort">Its port.</param>
/// <param name="AkkaPath">Address of the actor system that carries frames where sockets cannot; empty if there is none.</param>
[MessagePackObject]
public sealed record LinkAddress(
    [property: Key(0)] string Node,
    [property: Key(1)] ulong Incarnation,
    [property: Key(2)] string Host,
    [property: Key(3)] string UnixPath,
    [property: Key(4)] string TcpHost,
    [property: Key(5)] int TcpPort,
    [property: Key(6)] string AkkaPath);
