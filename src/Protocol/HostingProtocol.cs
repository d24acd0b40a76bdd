using MessagePack;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol;

/// <summary>How the leader of a run gets an actor for a rank on a node.</summary>
public static class HostingProtocol
{
    /// <summary>Make an actor for this rank, in place of any other of the same rank; answered by <see cref="StageHosted"/>.</summary>
    [MessagePackObject]
    public sealed record HostStage([property: Key(0)] RunId Run, [property: Key(1)] int Rank) : IWireMessage;

    /// <summary>The actor is there; it sends this itself.</summary>
    [MessagePackObject]
    public sealed record StageHosted([property: Key(0)] RunId Run, [property: Key(1)] int Rank, [property: Key(2)] string Path) : IWireMessage;

    /// <summary>The run is over: its actors and what they shared may go.</summary>
    [MessagePackObject]
    public sealed record ReleaseRun([property: Key(0)] RunId Run) : IWireMessage;
}
