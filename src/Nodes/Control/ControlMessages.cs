using System.Text.Json.Serialization;
using Pipeline.Protocol;

namespace Pipeline.Nodes;

/// <summary>A line that an operator's program sends to a control port, in JSON. What a command does not need stays out.</summary>
/// <param name="Token">Shows that the sender may command: the content of the file that <c>endpoint.json</c> names.</param>
/// <param name="Command">One of <see cref="ControlCommand"/>.</param>
/// <param name="Run">For submit: what to run.</param>
/// <param name="Node">For report-dead: the name of the node. For fetch-profile: its address.</param>
/// <param name="ProcessId">For report-dead: its process.</param>
/// <param name="Line">For operate and complete: a line of the operator's catalogue.</param>
/// <param name="Operator">For operate: who asks, for the audit.</param>
/// <param name="Id">For operate: tells the call from all others, so that one that is sent again is not carried out twice. For fetch-profile: of the measurement.</param>
/// <param name="Profile">For profile: what to measure.</param>
public sealed record ControlRequest(
    string Token, string Command, RunSubmission? Run = null, string? Node = null, int ProcessId = 0, string? Line = null, string? Operator = null, string? Id = null, ProfileRequest? Profile = null);

/// <summary>What the nodes of a cluster are asked to measure.</summary>
/// <param name="Id">Tells the measurement from others.</param>
/// <param name="Configuration">Resolved settings as text.</param>
/// <param name="Sizes">Sizes of micro-batch.</param>
/// <param name="Seconds">Time for each size.</param>
/// <param name="Nodes">Which nodes.</param>
public sealed record ProfileRequest(string Id, string Configuration, IReadOnlyList<int> Sizes, double Seconds, IReadOnlyList<ProfileTarget> Nodes);

/// <summary>A node that is to be measured.</summary>
/// <param name="Address">Address in the cluster.</param>
/// <param name="Ranks">Ranks that will compute on its machine side by side.</param>
public sealed record ProfileTarget(string Address, int Ranks);

/// <summary>The commands of a control port.</summary>
public static class ControlCommand
{
    /// <summary>Nodes, stages, generation, step.</summary>
    public const string Status = "status";

    /// <summary>End the run after saving.</summary>
    public const string Stop = "stop";

    /// <summary>Spread the stages over the nodes that are there.</summary>
    public const string Rebalance = "rebalance";

    /// <summary>Carry out a command of the operator's catalogue.</summary>
    public const string Operate = "operate";

    /// <summary>Say what may stand at the end of an unfinished line, a word a line.</summary>
    public const string Complete = "complete";

    /// <summary>Lead a run.</summary>
    public const string Submit = "submit";

    /// <summary>Have nodes measure the costs of a model's units, or say how far they are.</summary>
    public const string Profile = "profile";

    /// <summary>Say what a node has measured.</summary>
    public const string FetchProfile = "fetch-profile";

    /// <summary>A process was seen to be dead by whoever started it.</summary>
    public const string ReportDead = "report-dead";
}

/// <summary>The line that answers a <see cref="ControlRequest"/>.</summary>
/// <param name="Done">Whether the command is or will be carried out.</param>
/// <param name="Message">What is being done; for a refusal expected, found, remedy.</param>
/// <param name="Status">For status.</param>
/// <param name="Json">For operate: the answer for programs, as text.</param>
/// <param name="NeedsConsent">For operate: whether it waits for somebody to agree to what the message says.</param>
/// <param name="Profiled">For profile: how far each node is.</param>
/// <param name="Costs">For fetch-profile: what was measured.</param>
public sealed record ControlReply(
    bool Done, string Message, ControlStatus? Status = null, string? Json = null, bool NeedsConsent = false, IReadOnlyList<ProfiledStatus>? Profiled = null, MeasuredUnits? Costs = null);

/// <summary>How far the measurement of a node has come.</summary>
/// <param name="Address">Address in the cluster.</param>
/// <param name="Phase">waiting, measuring, measured, failed.</param>
/// <param name="Sentence">Why it failed; else empty.</param>
public sealed record ProfiledStatus(string Address, string Phase, string Sentence);

/// <summary>A run that a cluster is asked to lead.</summary>
/// <param name="Configuration">Its resolved settings, with the full path of its directory.</param>
/// <param name="Directory">The run directory, full path.</param>
/// <param name="ResumeFrom">Step of the checkpoint to start from; 0 for the initial weights.</param>
/// <param name="NodeCount">Nodes to wait for before the run is placed.</param>
/// <param name="Start">Tells this start of the run from former ones in the same directory.</param>
/// <param name="IsLocked">Whether the submitter keeps the directory's lock; else its leader takes it.</param>
public sealed record RunSubmission(string Configuration, string Directory, long ResumeFrom, int NodeCount, string Start, bool IsLocked);

/// <summary>What <c>status --json</c> prints.</summary>
public sealed record ControlStatus(
    IReadOnlyList<NodeStatus> Nodes,
    IReadOnlyList<StageStatus> Stages,
    int Generation,
    long Step,
    string Phase,
    string Run,
    long ProtectedStep,
    IReadOnlyList<LinkStanding> Links);

/// <summary>A node of the cluster.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Pid">Its process.</param>
/// <param name="Roles">Roles among coordinator, stage, operator.</param>
/// <param name="Address">Address in the cluster.</param>
/// <param name="Host">Machine.</param>
/// <param name="Coordinates">Whether it leads the run, or would.</param>
/// <param name="Threads">Processors that it may use; 0 where that is not known.</param>
/// <param name="MemoryBytes">What its stages may take; 0 where that is not known.</param>
/// <param name="Speed">Of a matrix product on one thread, in GFLOP/s; 0 where it was not measured.</param>
public sealed record NodeStatus(
    string Name, int Pid, IReadOnlyList<string> Roles, string Address, string Host, bool Coordinates, int Threads = 0, long MemoryBytes = 0, double Speed = 0);

/// <summary>A link between nodes, as its sender sees it.</summary>
/// <param name="From">Name of the node that sends.</param>
/// <param name="To">Name of the node that receives.</param>
/// <param name="Kind">What carries the bytes: unix, tcp, tls, akka.</param>
/// <param name="Purpose">frames or copy.</param>
/// <param name="FromRank">Sending rank.</param>
/// <param name="ToRank">Receiving rank.</param>
/// <param name="Connected">Whether a connection works.</param>
/// <param name="Bytes">Bytes sent since it was opened.</param>
/// <param name="Credits">Bytes that the receiver would still take now.</param>
/// <param name="Queued">Bytes that wait to be sent or acknowledged.</param>
/// <param name="Resent">Frames sent more than once.</param>
/// <param name="Reconnects">Connections after the first.</param>
public sealed record LinkStanding(
    string From, string To, string Kind, string Purpose, int FromRank, int ToRank, bool Connected, long Bytes, long Credits, long Queued, long Resent, long Reconnects);

/// <summary>Where a rank is.</summary>
/// <param name="Rank">Rank.</param>
/// <param name="Node">Name of its node.</param>
/// <param name="Holder">Name of the node that holds its copies; empty for none.</param>
/// <param name="Units">Units that it holds.</param>
/// <param name="Step">The last step that it has reported.</param>
public sealed record StageStatus(int Rank, string Node, string Holder = "", int Units = 0, long Step = 0);

/// <summary>The JSON of a control connection: names in snake case.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ControlRequest))]
[JsonSerializable(typeof(ControlReply))]
[JsonSerializable(typeof(ControlStatus))]
public sealed partial class ControlJson : JsonSerializerContext;
