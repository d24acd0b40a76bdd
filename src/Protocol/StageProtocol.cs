using MessagePack;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol;

/// <summary>
/// The conversation between the coordinator and a stage. The coordinator assigns, grants windows of steps and asks for evaluations and
/// checkpoints; the stage carries out its commands in the order in which they arrive and reports. Every message carries its generation.
/// </summary>
public static class StageProtocol
{
    /// <summary>What the coordinator asks of a stage.</summary>
    public interface ICommand : IWireMessage
    {
        /// <summary>The assignment it belongs to.</summary>
        Generation Generation { get; }
    }

    /// <summary>What a stage tells the coordinator.</summary>
    public interface IEvent : IWireMessage
    {
        /// <summary>The assignment it belongs to.</summary>
        Generation Generation { get; }

        /// <summary>Who speaks.</summary>
        int Rank { get; }
    }

    /// <summary>Become a rank: build the units, load the checkpoint's state if one is named, answer <see cref="StageReady"/>.</summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Rank">The rank to become.</param>
    /// <param name="Layout">Where everything lies.</param>
    /// <param name="CheckpointStep">Step of the checkpoint to load; 0 to start from the initial weights.</param>
    /// <param name="Recording">What to record.</param>
    [MessagePackObject]
    public sealed record AssignStage(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] PipelineLayout Layout,
        [property: Key(3)] long CheckpointStep,
        [property: Key(4)] RecordingDuties Recording) : ICommand;

    /// <summary>Run these steps, one after the other, without asking.</summary>
    [MessagePackObject]
    public sealed record GrantSteps(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] long FromStep,
        [property: Key(2)] long ThroughStep) : ICommand;

    /// <summary>
    /// Let the step under way be the last: said to the rank that makes the steps' totals, which tells the others with them, so that all
    /// end with the same step. Takes no turn among the other commands; without a step under way it says nothing.
    /// </summary>
    [MessagePackObject]
    public sealed record EndAfterStep([property: Key(0)] Generation Generation) : ICommand;

    /// <summary>Pass the first micro-batches of the held-out text forward.</summary>
    [MessagePackObject]
    public sealed record EvaluateHeldOut(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] long AfterStep,
        [property: Key(2)] int MicroBatchCount) : ICommand;

    /// <summary>Copy the state as it is after this step and write it while training goes on.</summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Step">The step whose end the state is of.</param>
    /// <param name="Attempt">Number of the try, never used twice for a step.</param>
    [MessagePackObject]
    public sealed record SaveCheckpoint(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] long Step,
        [property: Key(2)] int Attempt) : ICommand;

    /// <summary>Stop at the next action's end and free everything; answer <see cref="StageStopped"/>.</summary>
    [MessagePackObject]
    public sealed record StopStage([property: Key(0)] Generation Generation) : ICommand;

    /// <summary>The stage has its units and waits for steps.</summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Rank">Rank.</param>
    /// <param name="ParameterCount">Elements of the parameters that it owns.</param>
    [MessagePackObject]
    public sealed record StageReady(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long ParameterCount) : IEvent;

    /// <summary>One step is done on one rank.</summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Rank">Rank.</param>
    /// <param name="Step">Step.</param>
    /// <param name="Totals">What the whole step amounted to, the same on every rank.</param>
    /// <param name="LearningRate">Learning rate applied.</param>
    /// <param name="Timing">Where the rank's time went.</param>
    /// <param name="LiveTensorCount">Tensors alive in the process after the step.</param>
    /// <param name="Digests">Hashes of the state, when due.</param>
    /// <param name="Spans">Actions with start and end, when traced.</param>
    [MessagePackObject]
    public sealed record StepCompleted(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long Step,
        [property: Key(3)] StepOutcome Totals,
        [property: Key(4)] double LearningRate,
        [property: Key(5)] StepTiming Timing,
        [property: Key(6)] long LiveTensorCount,
        [property: Key(7)] IReadOnlyList<ParameterDigest> Digests,
        [property: Key(8)] IReadOnlyList<ExecutedSpan> Spans) : IEvent;

    /// <summary>The last stage has the loss of the held-out micro-batches.</summary>
    [MessagePackObject]
    public sealed record HeldOutEvaluated(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long AfterStep,
        [property: Key(3)] double LossSum,
        [property: Key(4)] long TokenCount) : IEvent;

    /// <summary>The stage's files of a checkpoint are on disk; the checkpoint exists only once its manifest does.</summary>
    [MessagePackObject]
    public sealed record CheckpointPartWritten(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long Step,
        [property: Key(3)] int Attempt,
        [property: Key(4)] IReadOnlyList<WrittenFile> Files) : IEvent;

    /// <summary>The stage's files of a checkpoint could not be written; training goes on.</summary>
    [MessagePackObject]
    public sealed record CheckpointPartFailed(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long Step,
        [property: Key(3)] int Attempt,
        [property: Key(4)] string Message) : IEvent;

    /// <summary>The stage cannot go on; it applies no further step.</summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Rank">Rank.</param>
    /// <param name="Stage">Stage whose action failed; -1 before the first.</param>
    /// <param name="Step">Step under way; 0 before the first.</param>
    /// <param name="Action">The action in its text form, or what was being done instead.</param>
    /// <param name="Message">One sentence or a few.</param>
    /// <param name="Kind">What kind of failure.</param>
    /// <param name="Detail">For the log: the exception with its trace.</param>
    [MessagePackObject]
    public sealed record StageFailed(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] int Stage,
        [property: Key(3)] long Step,
        [property: Key(4)] string Action,
        [property: Key(5)] string Message,
        [property: Key(6)] StageFailureKind Kind,
        [property: Key(7)] string Detail) : IEvent;

    /// <summary>The compute thread has ended and its memory is freed.</summary>
    [MessagePackObject]
    public sealed record StageStopped(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank) : IEvent;
}
