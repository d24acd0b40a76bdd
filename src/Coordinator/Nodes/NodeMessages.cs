using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>A node is there and may take ranks. Said by whoever watches the cluster's membership.</summary>
public sealed record NodeJoined(NodeInfo Node) : INoSerializationVerificationNeeded;

/// <summary>A node may be gone: a link to it was reset, it does not beat, membership says so. It is given up at once; fencing makes a mistake harmless.</summary>
public sealed record NodeSuspected(NodeId Node, string Reason) : INoSerializationVerificationNeeded;

/// <summary>A node has left the cluster.</summary>
public sealed record NodeLeft(NodeId Node) : INoSerializationVerificationNeeded;

/// <summary>Move a node's ranks away, so that it may leave; answered by <see cref="NodeDrained"/>.</summary>
public sealed record DrainNode(NodeId Node) : INoSerializationVerificationNeeded;

/// <summary>A node hosts nothing of the run any longer.</summary>
/// <param name="Node">Which.</param>
/// <param name="Refusal">Why it must stay, where its ranks fit nowhere else; null otherwise.</param>
public sealed record NodeDrained(NodeId Node, string? Refusal) : INoSerializationVerificationNeeded;

/// <summary>Divide the units anew by the stages' measured times, at a step's boundary; answered by <see cref="Rebalanced"/>.</summary>
public sealed record Rebalance : INoSerializationVerificationNeeded
{
    /// <summary>The only instance.</summary>
    public static Rebalance Instance { get; } = new();
}

/// <summary>What became of a request to divide the units anew.</summary>
/// <param name="UnitCounts">Units of each stage now.</param>
/// <param name="Step">The step at whose end they changed hands; the present one if nothing changed.</param>
/// <param name="Refusal">Why nothing changed; null if something did.</param>
public sealed record Rebalanced(IReadOnlyList<int> UnitCounts, long Step, string? Refusal) : INoSerializationVerificationNeeded;

/// <summary>Asks how the run stands; answered by <see cref="RunStatus"/>.</summary>
public sealed record QueryStatus : INoSerializationVerificationNeeded
{
    /// <summary>The only instance.</summary>
    public static QueryStatus Instance { get; } = new();
}

/// <summary>How a run stands.</summary>
/// <param name="Generation">Present assignment.</param>
/// <param name="Step">Last committed step.</param>
/// <param name="GrantedStep">Last step handed out.</param>
/// <param name="ProtectedStep">The step to whose end any rank can be put back.</param>
/// <param name="Stages">By rank.</param>
/// <param name="Nodes">Nodes that live.</param>
/// <param name="Phase">What the coordinator is at, in a word.</param>
/// <param name="EndStep">The step after which the run ends, as is known so far.</param>
/// <param name="Schedule">The schedule of each replica in text form; empty where it is not known, or where they have stages of their own.</param>
/// <param name="UnitNames">Names of the units in model order; null where they are not known.</param>
/// <param name="ReplicaSchedules">The schedules of the replicas in text form, one by one, where they have stages of their own; null where they are alike.</param>
public sealed record RunStatus(
    Generation Generation,
    long Step,
    long GrantedStep,
    long ProtectedStep,
    IReadOnlyList<RankStatus> Stages,
    IReadOnlyList<NodeInfo> Nodes,
    string Phase,
    long EndStep = 0,
    string Schedule = "",
    IReadOnlyList<string>? UnitNames = null,
    IReadOnlyList<string>? ReplicaSchedules = null) : INoSerializationVerificationNeeded;

/// <summary>How a rank stands.</summary>
/// <param name="Rank">Rank.</param>
/// <param name="Node">Where it lies.</param>
/// <param name="Holder">Who holds its copies; null for nobody.</param>
/// <param name="UnitCount">Units of its stages.</param>
/// <param name="Step">The last step that it has reported.</param>
/// <param name="IsReady">Whether it has its state.</param>
public sealed record RankStatus(int Rank, NodeId Node, NodeId? Holder, int UnitCount, long Step, bool IsReady);
