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
    /// <param name="Platform">What it speaks and computes with.</param>
    /// <param name="Shared">Settings that all nodes of a cluster must have alike.</param>
    [MessagePackObject]
    public sealed record NodeDescribed(
        [property: Key(0)] string Name,
        [property: Key(1)] int ProcessId,
        [property: Key(2)] string ControlAddress,
        [property: Key(3)] NodeInfo Info,
        [property: Key(4)] SubmitRun? Run,
        [property: Key(5)] PlatformFingerprint Platform,
        [property: Key(6)] IReadOnlyList<SharedSetting> Shared) : IWireMessage;

    /// <summary>Say how the links are by which you send; answered by <see cref="LinksDescribed"/>.</summary>
    [MessagePackObject]
    public sealed record DescribeLinks : IWireMessage;

    /// <summary>The links by which a node sends, and what its process has used, as they are now.</summary>
    /// <param name="Links">The links.</param>
    /// <param name="Load">What the process has used; null where it cannot say.</param>
    [MessagePackObject]
    public sealed record LinksDescribed(
        [property: Key(0)] IReadOnlyList<LinkLine> Links,
        [property: Key(1)] NodeLoad? Load = null) : IWireMessage;

    /// <summary>The node is not let take part; it ends.</summary>
    /// <param name="Reason">Sentences for people: expected, found, remedy.</param>
    [MessagePackObject]
    public sealed record NotAdmitted([property: Key(0)] string Reason) : IWireMessage;

    /// <summary>
    /// How a cluster stands, said to those of its seed nodes that are no members of it: one that is a member of another cluster answers with how that one stands. Both were founded
    /// apart, by a mistake.
    /// </summary>
    /// <param name="Name">The node that speaks.</param>
    /// <param name="Address">Its address.</param>
    /// <param name="Members">Addresses of the members of its cluster, itself among them.</param>
    /// <param name="SeedNodes">Its list of seed nodes.</param>
    /// <param name="IsAtRun">Whether its cluster is at a run.</param>
    /// <param name="UpSince">When it became a member, in milliseconds of Unix time: where nothing else tells, the younger cluster is the mistake.</param>
    /// <param name="IsAnswer">Whether it answers the same message.</param>
    [MessagePackObject]
    public sealed record ClusterStanding(
        [property: Key(0)] string Name,
        [property: Key(1)] string Address,
        [property: Key(2)] IReadOnlyList<string> Members,
        [property: Key(3)] IReadOnlyList<string> SeedNodes,
        [property: Key(4)] bool IsAtRun,
        [property: Key(5)] long UpSince,
        [property: Key(6)] bool IsAnswer) : IWireMessage;

    /// <summary>The cluster is at this run now.</summary>
    [MessagePackObject]
    public sealed record AnnounceRun([property: Key(0)] SubmitRun Run) : IWireMessage;

    /// <summary>A run is over.</summary>
    /// <param name="Start">The start that it was submitted with.</param>
    [MessagePackObject]
    public sealed record ForgetRun([property: Key(0)] string Start) : IWireMessage;
}

/// <summary>What the process of a node has used.</summary>
/// <param name="ProcessorSeconds">Since it began, over all its threads.</param>
/// <param name="ResidentBytes">Memory now.</param>
[MessagePackObject]
public sealed record NodeLoad(
    [property: Key(0)] double ProcessorSeconds,
    [property: Key(1)] long ResidentBytes);

/// <summary>A setting that all nodes of a cluster must have alike.</summary>
/// <param name="Key">Its path, as in a configuration.</param>
/// <param name="Value">Its value, or what follows from it, as text.</param>
[MessagePackObject]
public sealed record SharedSetting([property: Key(0)] string Key, [property: Key(1)] string Value);
