using MessagePack;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol;

/// <summary>
/// The conversation between an operator (a command line, a program) and whoever leads the cluster's run. Each request is answered once,
/// by <see cref="Answer"/> or by what its own documentation names.
/// </summary>
public static class OperatorProtocol
{
    /// <summary>What an operator asks for.</summary>
    public interface IRequest : IWireMessage;

    /// <summary>Lead this run. Sent again after the leader was lost: a run that is led already is accepted once more.</summary>
    /// <param name="Configuration">Its resolved settings as text, with the full path of its directory.</param>
    /// <param name="Directory">The run directory, full path; every node that may lead the run reaches it.</param>
    /// <param name="ResumeFrom">Step of the checkpoint to start from; 0 for the initial weights.</param>
    /// <param name="NodeCount">Nodes to wait for before the run is placed.</param>
    /// <param name="Start">Tells this start of the run from former ones in the same directory.</param>
    /// <param name="IsLocked">Whether the submitter keeps the directory's lock; else its leader takes it.</param>
    [MessagePackObject]
    public sealed record SubmitRun(
        [property: Key(0)] string Configuration,
        [property: Key(1)] string Directory,
        [property: Key(2)] long ResumeFrom,
        [property: Key(3)] int NodeCount,
        [property: Key(4)] string Start,
        [property: Key(5)] bool IsLocked) : IRequest;

    /// <summary>End the run after the step under way, saving first.</summary>
    [MessagePackObject]
    public sealed record EndRun : IRequest;

    /// <summary>Spread the stages over the nodes that are there now.</summary>
    [MessagePackObject]
    public sealed record RebalanceRun : IRequest;

    /// <summary>A process was seen to be dead by whoever started it: membership need not wait for its own verdict.</summary>
    /// <param name="Name">Name of the node.</param>
    /// <param name="ProcessId">Its process, so that a later one of the same name is not meant.</param>
    [MessagePackObject]
    public sealed record ReportDead(
        [property: Key(0)] string Name,
        [property: Key(1)] int ProcessId) : IRequest;

    /// <summary>Move the stages of this node away, so that it may leave; answered once it hosts none.</summary>
    [MessagePackObject]
    public sealed record Vacate([property: Key(0)] NodeId Node) : IRequest;

    /// <summary>Say how things are; answered by <see cref="ClusterStatus"/>.</summary>
    [MessagePackObject]
    public sealed record AskStatus : IRequest;

    /// <summary>Carry out a command of the operator's catalogue; answered by <see cref="CommandAnswered"/>.</summary>
    /// <param name="Line">The command with its arguments.</param>
    /// <param name="Operator">Who asks, as far as the receiving node knows.</param>
    /// <param name="Id">Tells the call from all others; empty for none.</param>
    [MessagePackObject]
    public sealed record RunCommand(
        [property: Key(0)] string Line,
        [property: Key(1)] string Operator,
        [property: Key(2)] string Id) : IRequest;

    /// <summary>Say what may stand at the end of an unfinished line; answered by <see cref="CommandAnswered"/>, a word a line.</summary>
    [MessagePackObject]
    public sealed record CompleteCommand([property: Key(0)] string Line) : IRequest;

    /// <summary>A node has refused somebody at its control port: for the audit of the run. Not answered.</summary>
    /// <param name="Source">Address of whoever was refused.</param>
    /// <param name="Reason">Why.</param>
    [MessagePackObject]
    public sealed record AuditRefusal(
        [property: Key(0)] string Source,
        [property: Key(1)] string Reason) : IWireMessage;

    /// <summary>What came of a command.</summary>
    /// <param name="IsDone">Whether it was, or is being, carried out.</param>
    /// <param name="Text">For people.</param>
    /// <param name="Json">For programs; empty where the text says it all.</param>
    /// <param name="NeedsConsent">Whether it waits for somebody to agree to what the text says.</param>
    [MessagePackObject]
    public sealed record CommandAnswered(
        [property: Key(0)] bool IsDone,
        [property: Key(1)] string Text,
        [property: Key(2)] string Json,
        [property: Key(3)] bool NeedsConsent) : IWireMessage;

    /// <summary>What became of a request.</summary>
    /// <param name="IsDone">Whether it is or will be carried out.</param>
    /// <param name="Sentence">What is being done; for a refusal expected, found, remedy.</param>
    [MessagePackObject]
    public sealed record Answer(
        [property: Key(0)] bool IsDone,
        [property: Key(1)] string Sentence) : IWireMessage;

    /// <summary>The cluster and its run.</summary>
    /// <param name="Nodes">Nodes that are there, by name.</param>
    /// <param name="Stages">Where each rank is.</param>
    /// <param name="Generation">Number of the current assignment; 0 without a run.</param>
    /// <param name="Step">Last committed step.</param>
    /// <param name="Phase">One word: idle, opening, waiting, running, recovering, stopping, ended.</param>
    /// <param name="Directory">The run directory; empty without a run.</param>
    /// <param name="ProtectedStep">The step to whose end any rank can be put back without the others.</param>
    /// <param name="Links">Links between nodes, each as its sender sees it.</param>
    [MessagePackObject]
    public sealed record ClusterStatus(
        [property: Key(0)] IReadOnlyList<NodeLine> Nodes,
        [property: Key(1)] IReadOnlyList<StageLine> Stages,
        [property: Key(2)] int Generation,
        [property: Key(3)] long Step,
        [property: Key(4)] string Phase,
        [property: Key(5)] string Directory,
        [property: Key(6)] long ProtectedStep,
        [property: Key(7)] IReadOnlyList<LinkLine> Links) : IWireMessage;
}

/// <summary>A node as operators see it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="ProcessId">Its process on its machine.</param>
/// <param name="Roles">What it may be.</param>
/// <param name="Address">Where its actor system is reached.</param>
/// <param name="Host">Its machine.</param>
/// <param name="Leads">Whether it leads the run.</param>
/// <param name="Device">Where its ranks compute, such as <c>cpu</c>.</param>
/// <param name="ThreadCount">Processors that it may use; 0 where that is not known.</param>
/// <param name="MemoryByteCount">Bytes that stages and copies may take; 0 where that is not known.</param>
/// <param name="Speed">Of a matrix product on one thread, in GFLOP/s; 0 where it was not measured.</param>
[MessagePackObject]
public sealed record NodeLine(
    [property: Key(0)] string Name,
    [property: Key(1)] int ProcessId,
    [property: Key(2)] IReadOnlyList<string> Roles,
    [property: Key(3)] string Address,
    [property: Key(4)] string Host,
    [property: Key(5)] bool Leads,
    [property: Key(6)] string Device = "cpu",
    [property: Key(7)] int ThreadCount = 0,
    [property: Key(8)] long MemoryByteCount = 0,
    [property: Key(9)] double Speed = 0);

/// <summary>Where a rank is.</summary>
/// <param name="Rank">Rank.</param>
/// <param name="Node">Name of its node.</param>
/// <param name="Holder">Name of the node that holds its copies; empty for none.</param>
/// <param name="UnitCount">Units that it holds.</param>
/// <param name="Step">The last step that it has reported.</param>
[MessagePackObject]
public sealed record StageLine(
    [property: Key(0)] int Rank,
    [property: Key(1)] string Node,
    [property: Key(2)] string Holder,
    [property: Key(3)] int UnitCount,
    [property: Key(4)] long Step);

/// <summary>A link as operators see it.</summary>
/// <param name="From">Name of the node that sends.</param>
/// <param name="To">Name of the node that receives.</param>
/// <param name="Kind">What carries the bytes: unix, tcp, tls, akka.</param>
/// <param name="Purpose">What for: frames of tensors, a copy of a state.</param>
/// <param name="FromRank">Sending rank.</param>
/// <param name="ToRank">Receiving rank.</param>
/// <param name="IsConnected">Whether a connection works.</param>
/// <param name="BytesSent">Bytes written since it was opened.</param>
/// <param name="CreditBytes">What the receiver would still take now.</param>
/// <param name="QueuedBytes">What waits to be sent or acknowledged.</param>
/// <param name="ResentCount">Frames sent more than once.</param>
/// <param name="ReconnectCount">Connections after the first.</param>
[MessagePackObject]
public sealed record LinkLine(
    [property: Key(0)] string From,
    [property: Key(1)] string To,
    [property: Key(2)] string Kind,
    [property: Key(3)] string Purpose,
    [property: Key(4)] int FromRank,
    [property: Key(5)] int ToRank,
    [property: Key(6)] bool IsConnected,
    [property: Key(7)] long BytesSent,
    [property: Key(8)] long CreditBytes,
    [property: Key(9)] long QueuedBytes,
    [property: Key(10)] long ResentCount,
    [property: Key(11)] long ReconnectCount);
