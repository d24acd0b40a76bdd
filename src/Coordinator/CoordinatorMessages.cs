using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>Asks a coordinator to end its run after the step under way, saving first. Stays in the process.</summary>
public sealed record StopRun : INoSerializationVerificationNeeded
{
    /// <summary>The only instance.</summary>
    public static StopRun Instance { get; } = new();
}

/// <summary>A stage's actor is gone.</summary>
internal sealed record StageLost(int Rank, IActorRef Stage) : INoSerializationVerificationNeeded;

/// <summary>The observer's actor is gone: it threw.</summary>
internal sealed record ObserverLost : INoSerializationVerificationNeeded;

/// <summary>The observer has dealt with a committed step: it is recorded as well as it will be.</summary>
internal sealed record StepRecorded(long Step) : INoSerializationVerificationNeeded;

/// <summary>A checkpoint's manifest is on disk.</summary>
internal sealed record CheckpointCommitted(SaveAttempt Attempt, long ByteCount) : INoSerializationVerificationNeeded;

/// <summary>What a checkpoint has made superfluous is gone, or could not be removed.</summary>
internal sealed record CheckpointsPruned(long Step, long ByteCount, string? Warning) : INoSerializationVerificationNeeded;

/// <summary>A checkpoint's manifest could not be written.</summary>
internal sealed record CommitFailed(SaveAttempt Attempt, string Message) : INoSerializationVerificationNeeded;

/// <summary>The journal holds a generation; what it decides may be carried out.</summary>
internal sealed record DecisionRecorded(Generation Generation) : INoSerializationVerificationNeeded;

/// <summary>The journal could not be written.</summary>
internal sealed record DecisionRefused(string Message) : INoSerializationVerificationNeeded;

/// <summary>Time to try a failed save again.</summary>
internal sealed record RetrySaveTick : INoSerializationVerificationNeeded;

/// <summary>Parts of a checkpoint have been missing for too long.</summary>
internal sealed record SaveStallTick(SaveAttempt Attempt) : INoSerializationVerificationNeeded;

/// <summary>Time to ask those ranks again to hold that have not answered.</summary>
internal sealed record HoldTick : INoSerializationVerificationNeeded;

/// <summary>A node has not beaten for too long.</summary>
internal sealed record BeatMissedTick(NodeId Node) : INoSerializationVerificationNeeded;

/// <summary>Nothing has moved for too long.</summary>
internal sealed record StallTick : INoSerializationVerificationNeeded;

/// <summary>The run has waited long enough for nodes.</summary>
internal sealed record NodePatienceTick : INoSerializationVerificationNeeded;

/// <summary>Time to ask those nodes again what they host that have not answered.</summary>
internal sealed record AskAgainTick : INoSerializationVerificationNeeded;

/// <summary>The stages have taken too long to stop.</summary>
internal sealed record StopPatienceTick : INoSerializationVerificationNeeded;
