using MessagePack;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol;

/// <summary>How the leader of a run learns who the members of its cluster are.</summary>
public static class MembershipProtocol
{
    /// <summary>Say who you are; answered by <see cref="NodeDescribed"/>.</summary>
    [MessagePackObject]
    public sealed record DescribeNode : IWireMessage;

    /// <summary>What a node says of itself.</summary>
    /// <param name="Name">Its name, unique in the cluster.</param>
    /// <param name="ProcessId">Its process.</param>
    /// <param name="Address">Where its actor system is reached.</param>
    /// <param name="Roles">What it may be.</param>
    /// <param name="Host">Its machine.</param>
    [MessagePackObject]
    public sealed record NodeDescribed(
        [property: Key(0)] string Name,
        [property: Key(1)] int ProcessId,
        [property: Key(2)] string Address,
        [property: Key(3)] IReadOnlyList<string> Roles,
        [property: Key(4)] string Host) : IWireMessage;
}
