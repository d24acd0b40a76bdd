namespace Pipeline.Protocol.Links;

/// <summary>What carries a link's frames between processes.</summary>
public enum LinkKind
{
    /// <summary>Unix socket in a folder that only this user can enter.</summary>
    Unix = 0,

    /// <summary>TCP, without encryption: loopback only.</summary>
    Tcp = 1,

    /// <summary>TCP under mutual TLS.</summary>
    Tls = 2,

    /// <summary>Chunks over a second actor system: the slow way that works wherever Akka.Remote does.</summary>
    Akka = 3,
}

/// <summary>What the user wants of the choice of links.</summary>
public enum LinkKindChoice
{
    /// <summary>Unix on one host, TCP between hosts.</summary>
    Automatic = 0,

    /// <summary>Unix sockets; an error between hosts.</summary>
    Unix = 1,

    /// <summary>TCP, also on one host.</summary>
    Tcp = 2,

    /// <summary>Akka.Remote everywhere.</summary>
    Akka = 3,
}

/// <summary>The choice of a kind for two ends: a pure function, so that status and wire always agree.</summary>
public static class LinkKinds
{
    /// <summary>What carries frames from here to there.</summary>
    /// <param name="choice">The user's setting.</param>
    /// <param name="here">This node.</param>
    /// <param name="there">The receiving node.</param>
    /// <param name="hasCredentials">Whether TCP runs under TLS.</param>
    /// <exception cref="ArgumentException">The wanted kind cannot reach the other node.</exception>
    public static LinkKind Between(LinkKindChoice choice, LinkAddress here, LinkAddress there, bool hasCredentials)
    {
        var tcp = hasCredentials ? LinkKind.Tls : LinkKind.Tcp;
        var sharesUnix = there.UnixPath.Length > 0 && here.Host == there.Host && File.Exists(there.UnixPath);
        return choice switch
        {
            LinkKindChoice.Automatic when sharesUnix => LinkKind.Unix,
            LinkKindChoice.Automatic or LinkKindChoice.Tcp when there.TcpPort > 0 => tcp,
            LinkKindChoice.Automatic or LinkKindChoice.Akka when there.AkkaPath.Length > 0 && here.AkkaPath.Length > 0 => LinkKind.Akka,
            LinkKindChoice.Unix when sharesUnix => LinkKind.Unix,
            _ => throw new ArgumentException(
                $"A link from {here.Node} to {there.Node} cannot be {choice}: {there.Node} offers Unix socket '{there.UnixPath}' (same host: {here.Host == there.Host}), "
                + $"TCP port {there.TcpPort}, Akka '{there.AkkaPath}'. Set pipeline.link.kind to one of these."),
        };
    }
}
