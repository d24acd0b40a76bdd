using Akka.Actor;
using Pipeline.Checkpoints;

namespace Pipeline.Coordinator;

/// <summary>Asks a coordinator to end its run after the step under way, saving first. Stays in the process.</summary>
public sealed record StopRun : INoSerializationVerificationNeeded
{
    /// <summary>The only instance.</summary>
    public static StopRun Instance { get; } = new();
}

/// <summary>A stage's actor is gone.</summary>
internal sealed record StageLost(int Rank) : INoSerializationVerificationNeeded;

/// <summary>The observer's actor is gone: it threw.</summary>
internal sealed record ObserverLost : INoSerializationVerificationNeeded;

/// <summary>A checkpoint's manifest is on disk.</summary>
internal sealed record CheckpointCommitted(SaveAttempt Attempt, long ByteCount, string? Warning) : INoSerializationVerificationNeeded;

/// <summary>A checkpoint's manifest could not be written.</summary>
internal sealed record CommitFailed(SaveAttempt Attempt, string Message) : INoSerializationVerificationNeeded;

/// <summary>Time to try a failed save again.</summary>
internal sealed record RetrySaveTick : INoSerializationVerificationNeeded;

/// <summary>The stages have taken too long to stop.</summary>
internal sealed record StopPatienceTick : INoSerializationVerificationNeeded;
