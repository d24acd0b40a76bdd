using MessagePack;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol.Links;

/// <summary>
/// How a link's bytes travel where only Akka.Remote does: two actors, one at each end, exchange numbered chunks in both directions. Akka may
/// lose messages but does not reorder them, so a gap in the numbers ends the tunnel, and the link above it makes a new one.
/// </summary>
public static class TunnelProtocol
{
    /// <summary>A message between the ends of a tunnel.</summary>
    public interface ITunnelMessage : IWireMessage;

    /// <summary>From the connecting end to the gate of a node: make the other end.</summary>
    /// <param name="Tunnel">Drawn by the connecting end.</param>
    [MessagePackObject]
    public sealed record OpenTunnel([property: Key(0)] ulong Tunnel) : ITunnelMessage;

    /// <summary>From the accepting end: it is there; its sender is the other end.</summary>
    /// <param name="Tunnel">As asked.</param>
    [MessagePackObject]
    public sealed record TunnelOpened([property: Key(0)] ulong Tunnel) : ITunnelMessage;

    /// <summary>Some bytes.</summary>
    /// <param name="Number">From 1, in each direction.</param>
    /// <param name="Bytes">At most <see cref="MaxLength"/>.</param>
    [MessagePackObject]
    public sealed record TunnelChunk([property: Key(0)] long Number, [property: Key(1)] ReadOnlyMemory<byte> Bytes) : ITunnelMessage
    {
        /// <summary>Keeps every copy that Akka makes below the large-object heap, which is what makes it bearable.</summary>
        public const int MaxLength = 64_000;
    }

    /// <summary>So many chunks have been taken out of the tunnel.</summary>
    /// <param name="Number">Of the last one.</param>
    [MessagePackObject]
    public sealed record TunnelReceipt([property: Key(0)] long Number) : ITunnelMessage;

    /// <summary>The tunnel is over.</summary>
    [MessagePackObject]
    public sealed record CloseTunnel : ITunnelMessage;
}
