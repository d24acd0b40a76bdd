using MessagePack;
using Pipeline.Protocol.Wire;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Protocol;

/// <summary>
/// The conversation between the coordinator and the nodes that host stages: who is there, what each hosts, and who is shut out.
/// </summary>
public static class NodeProtocol
{
    /// <summary>What the coordinator tells a node. The node obeys the highest generation that it has heard of.</summary>
    public interface INodeCommand : IWireMessage
    {
        /// <summary>Run.</summary>
        RunId Run { get; }

        /// <summary>The assignment it belongs to.</summary>
        Generation Generation { get; }
    }

    /// <summary>What a node tells the coordinator that it last heard of.</summary>
    public interface INodeEvent : IWireMessage
    {
        /// <summary>Who speaks.</summary>
        NodeId Node { get; }
    }

    /// <summary>Make the actors of these ranks, all of them before one is assigned, then pass one its assignment: each has its own message, so that none grows with the ranks of a node.</summary>
    /// <param name="Run">Run.</param>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Ranks">The ranks that the node is given now.</param>
    /// <param name="Assignment">That of one of them.</param>
    [MessagePackObject]
    public sealed record HostStage(
        [property: Key(0)] RunId Run,
        [property: Key(1)] Generation Generation,
        [property: Key(2)] IReadOnlyList<int> Ranks,
        [property: Key(3)] AssignStage Assignment) : INodeCommand;

    /// <summary>Say what you host, and beat to me from now on; answered by <see cref="HostedReport"/>.</summary>
    [MessagePackObject]
    public sealed record ReportHosted(
        [property: Key(0)] RunId Run,
        [property: Key(1)] Generation Generation) : INodeCommand;

    /// <summary>The run is over, or these ranks have moved away: stop their stages. Copies go when no rank is named.</summary>
    /// <param name="Run">Run.</param>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Ranks">Ranks to give up; empty for the whole run.</param>
    [MessagePackObject]
    public sealed record ReleaseStages(
        [property: Key(0)] RunId Run,
        [property: Key(1)] Generation Generation,
        [property: Key(2)] IReadOnlyList<int> Ranks) : INodeCommand;

    /// <summary>You were given up in this generation: whatever you hold has been replaced. The node ends.</summary>
    [MessagePackObject]
    public sealed record Fenced(
        [property: Key(0)] RunId Run,
        [property: Key(1)] Generation Generation,
        [property: Key(2)] NodeId Node) : INodeCommand;

    /// <summary>A node lives.</summary>
    [MessagePackObject]
    public sealed record NodeBeat(
        [property: Key(0)] NodeId Node,
        [property: Key(1)] Generation Generation) : INodeEvent;

    /// <summary>A node cannot reach another one: a link to it was reset or refused.</summary>
    /// <param name="Node">Who says so.</param>
    /// <param name="Suspect">Whom it cannot reach.</param>
    /// <param name="Reason">What happened.</param>
    [MessagePackObject]
    public sealed record PeerUnreachable(
        [property: Key(0)] NodeId Node,
        [property: Key(1)] NodeId Suspect,
        [property: Key(2)] string Reason) : INodeEvent;

    /// <summary>What a node hosts, asked for by <see cref="ReportHosted"/>.</summary>
    /// <param name="Node">Who.</param>
    /// <param name="Info">How it is reached and what it can do.</param>
    /// <param name="Asked">The generation in which it was asked.</param>
    /// <param name="Stages">The run's stages that it hosts.</param>
    /// <param name="Copies">The run's copies that it holds whole.</param>
    [MessagePackObject]
    public sealed record HostedReport(
        [property: Key(0)] NodeId Node,
        [property: Key(1)] NodeInfo Info,
        [property: Key(2)] Generation Asked,
        [property: Key(3)] IReadOnlyList<HostedStage> Stages,
        [property: Key(4)] IReadOnlyList<CopyId> Copies) : INodeEvent;
}

/// <summary>How far a hosted stage is.</summary>
/// <param name="Rank">Rank.</param>
/// <param name="Generation">Its assignment.</param>
/// <param name="PartitionedIn">The generation since which it holds its units.</param>
/// <param name="Step">The last step that it has completed; the step that it starts from before.</param>
/// <param name="GrantedStep">The last step that it was granted.</param>
/// <param name="ProtectedStep">What it has kept reaches back to the end of this step.</param>
/// <param name="IsEnded">Whether its last step was marked as the run's last.</param>
/// <param name="Awaits">What its compute thread waits for, in words; empty where it computes.</param>
/// <param name="Name">Name of its actor below that of the node.</param>
/// <param name="Doing">What its compute thread is at where it computes, such as <c>computes 1F3 of step 7</c>.</param>
/// <param name="StillSeconds">For how long the thread has neither begun nor ended anything, nor waited.</param>
[MessagePackObject]
public sealed record HostedStage(
    [property: Key(0)] int Rank,
    [property: Key(1)] Generation Generation,
    [property: Key(2)] Generation PartitionedIn,
    [property: Key(3)] long Step,
    [property: Key(4)] long GrantedStep,
    [property: Key(5)] long ProtectedStep,
    [property: Key(6)] bool IsEnded,
    [property: Key(7)] string Awaits,
    [property: Key(8)] string Name = "",
    [property: Key(9)] string Doing = "",
    [property: Key(10)] double StillSeconds = 0)
{
    /// <summary>What is awaited by a rank that fetches the state to begin with: its transfer mends itself, and may take long.</summary>
    public const string State = "its state";

    /// <summary>What is awaited by a rank whose copies are still on their way; so do they.</summary>
    public const string Copies = "the holder of its copies";
}
