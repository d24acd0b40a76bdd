using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>What an operator asks of a run under way. Stays in the process; each is answered once by <see cref="OperationResult"/>.</summary>
public interface IOperation : INoSerializationVerificationNeeded;

/// <summary>What became of an operation.</summary>
/// <param name="IsDone">Whether it is, or is being, carried out.</param>
/// <param name="Sentence">What happens; for a refusal expected, found, remedy.</param>
public sealed record OperationResult(bool IsDone, string Sentence) : INoSerializationVerificationNeeded;

/// <summary>Begin no further step until <see cref="ResumeRun"/>; what is under way is finished.</summary>
public sealed record PauseRun : IOperation;

/// <summary>Grant steps again.</summary>
public sealed record ResumeRun : IOperation;

/// <summary>Save after the step under way; answered once the checkpoint exists, or could not be made.</summary>
public sealed record SaveNow : IOperation;

/// <summary>End the run at once, without a further checkpoint.</summary>
public sealed record StopRunNow : IOperation;

/// <summary>Put a rank on a node, at a step's boundary.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="Node">Where to.</param>
public sealed record MoveRank(int Rank, NodeId Node) : IOperation;

/// <summary>Give a unit to the stage beside its own, at a step's boundary.</summary>
/// <param name="Unit">Its name.</param>
/// <param name="Node">Where that stage lies.</param>
public sealed record MoveUnit(string Unit, NodeId Node) : IOperation;

/// <summary>Have a rank begin anew from its copy or the newest checkpoint, as after a loss.</summary>
public sealed record RestartRank(int Rank) : IOperation;

/// <summary>Whether a node may be given further ranks; those that it has stay.</summary>
public sealed record CordonNode(NodeId Node, bool IsCordoned) : IOperation;

/// <summary>Give a setting another value, from the step after the one under way on.</summary>
public sealed record ChangeSetting(SettingKind Setting, double Value) : IOperation;

/// <summary>Something that the run's record is to hold, such as a command and its result. Not answered.</summary>
public sealed record RecordNotice(RunNotice Notice) : INoSerializationVerificationNeeded;
