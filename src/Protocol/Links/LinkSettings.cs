using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Links;

/// <summary>How links behave; the same on all nodes of a cluster. Defaults and reasons stand in <c>reference.conf</c> under <c>link</c>.</summary>
public sealed record LinkSettings
{
    /// <summary>Bytes that a receiver holds for each link before the sender must wait.</summary>
    public required long WindowBytes { get; init; }

    /// <summary>Whether frames carry a checksum where no encryption protects them.</summary>
    public required bool HasChecksums { get; init; }

    /// <summary>The largest frame sent or received.</summary>
    public required FrameLimits Limits { get; init; }

    /// <summary>Connections in all.</summary>
    public required int MaxConnectionCount { get; init; }

    /// <summary>Connections of one source address that have not proved who they are.</summary>
    public required int MaxPendingCount { get; init; }

    /// <summary>How long a peer may take to prove who it is.</summary>
    public required TimeSpan HandshakeTimeout { get; init; }

    /// <summary>How often an idle link says that it lives.</summary>
    public required TimeSpan Heartbeat { get; init; }

    /// <summary>After how long without a byte a connection is given up and made anew.</summary>
    public required TimeSpan Silence { get; init; }

    /// <summary>The longest pause between attempts to connect; the first is a hundredth of it.</summary>
    public required TimeSpan MaxBackOff { get; init; }
}
