using Akka.Actor.Setup;
using Pipeline.Protocol.Security;

namespace Pipeline.Protocol.Links;

/// <summary>Who a node's hub is and where it listens.</summary>
public sealed record LinkHubOptions
{
    /// <summary>Name of the node.</summary>
    public required string Node { get; init; }

    /// <summary>What all nodes must agree on, compared at every connection: the cluster's name and the fingerprint of its configuration.</summary>
    public required string Cluster { get; init; }

    /// <summary>How links behave.</summary>
    public required LinkSettings Settings { get; init; }

    /// <summary>Known to the nodes of the cluster only; may be empty where the Unix folder or TLS keeps others out.</summary>
    public IReadOnlyList<byte> Secret { get; init; } = [];

    /// <summary>Whether to listen on a Unix socket.</summary>
    public bool HasUnix { get; init; } = true;

    /// <summary>Address that others connect to over TCP, and to listen on; null for none. Without credentials it is loopback, whatever stands here.</summary>
    public string? TcpHost { get; init; } = "127.0.0.1";

    /// <summary>Address to listen on over TCP where it is another one than others connect to; null for <see cref="TcpHost"/>.</summary>
    public string? TcpBind { get; init; }

    /// <summary>Port to listen on; 0 takes a free one.</summary>
    public int TcpPort { get; init; }

    /// <summary>Certificates; with them TCP runs under mutual TLS.</summary>
    public IPeerCredentials? Credentials { get; init; }

    /// <summary>
    /// What the second actor system starts with that carries frames where sockets cannot (where it listens, who may reach it); null for none.
    /// Add <see cref="LinkHub.TunnelHocon"/> to it, and trust selections of <see cref="LinkHub.TunnelPath"/>.
    /// </summary>
    public ActorSystemSetup? Tunnels { get; init; }

    /// <summary>Put around each connection that this hub makes, such as a throttle; null for none. For benchmarks and tests.</summary>
    internal Func<ILinkTransport, ILinkTransport>? Shape { get; init; }

    /// <summary>Time.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;
}
