using MessagePack;
using Pipeline.Protocol.Wire;
using static Pipeline.Protocol.OperatorProtocol;

namespace Pipeline.Protocol;

/// <summary>
/// How the leader of a run learns who the members of its cluster are, and how the run is known to all of them, so that the next leader
/// hears of it from any.
/// </summary>
public static class MembershipProtocol
{
    /// <summary>Say who you are; answered by <see cref="NodeDescribed"/>.</summary>
    [MessagePackObject]
    public sealed record DescribeNode : IWireMessage;

    /// <summary>What a node says of itself.</summary>
    /// <param name="Name">Its name, unique in the cluster.</param>
    /// <param name="ProcessId">Its process.</param>
    /// <param name="ControlAddress">Where it takes commands, host and port.</param>
    /// <param name="Info">How it is reached and what it can do.</param>
    /// <param name="Run">The run that the cluster is at, as far as the node knows; null for none.</param>
    [MessagePackObject]
    public sealed record NodeDescribed(
        [property: Key(0)] string Name,
        [property: Key(1)] int ProcessId,
        [property: Key(2)] string ControlAddress,
        [property: Key(3)] NodeInfo Info,
        [property: Key(4)] SubmitRun? Run) : IWireMessage;

    /// <summary>The cluster is at this run now.</summary>
    [MessagePackObject]
    public sealed record AnnounceRun([property: Key(0)] SubmitRun Run) : IWireMessage;

    /// <summary>A run is over.</summary>
    /// <param name="Start">The start that it was submitted with.</param>
    [MessagePackObject]
    public sealed record ForgetRun([property: Key(0)] string Start) : IWireMessage;
}
