using MessagePack;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol;

/// <summary>
/// The conversation between the coordinator and a stage. The coordinator assigns, grants windows of steps and asks for checkpoints; the
/// stage reports. Every message carries its generation, and every command says what is to be, not what is to be done next, so that one
/// that is lost, late or repeated does no harm: a later one says the same or more.
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

        /// <summary>The same report, said in another assignment.</summary>
        IEvent In(Generation generation);
    }

    /// <summary>
    /// Become a rank: answer <see cref="StageAssigned"/> and take inputs from then on, build the units, load the state to start from, answer
    /// <see cref="StageReady"/>.
    /// </summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Rank">The rank to become.</param>
    /// <param name="Layout">Where everything lies.</param>
    /// <param name="Start">The state to start from.</param>
    /// <param name="Recording">What to record.</param>
    [MessagePackObject]
    public sealed record AssignStage(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] PipelineLayout Layout,
        [property: Key(3)] StartingPoint Start,
        [property: Key(4)] RecordingDuties Recording) : ICommand;

    /// <summary>
    /// Go on under a newer generation, in which other ranks have moved: the compute thread goes on with what it does, and what the others
    /// may lack is sent again. Answered by <see cref="StageAssigned"/>.
    /// </summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Rank">Rank, as before.</param>
    /// <param name="Layout">Where everything lies now.</param>
    /// <param name="CompletedSteps">By rank, a step that the rank is known to have completed: it lacks nothing up to its end.</param>
    [MessagePackObject]
    public sealed record Regenerate(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] PipelineLayout Layout,
        [property: Key(3)] IReadOnlyList<long> CompletedSteps) : ICommand;

    /// <summary>
    /// How far the rank may go without asking, and what it need not keep any longer. None of the numbers ever falls in a generation but how far it may go, after
    /// <see cref="HoldSteps"/>.
    /// </summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="ThroughStep">Run steps, and the evaluations after them, through this one.</param>
    /// <param name="RecordedStep">Reports of steps through this one need not be kept.</param>
    /// <param name="RecordedEvaluation">Reports of evaluations after steps through this one need not be kept.</param>
    /// <param name="ProtectedStep">No rank will ever be put back further than to the end of this step.</param>
    /// <param name="Hold">How often ranks had been asked to hold, and all had answered, when it was said: what was granted before a later hold is void.</param>
    /// <param name="AssuredStep">The rank runs through this one in any case, and beyond it only while what it keeps for others has room.</param>
    /// <param name="CopyStep">After this step the state is copied, also where none of the copies that are taken anyway is; 0 for none.</param>
    [MessagePackObject]
    public sealed record GrantSteps(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] long ThroughStep,
        [property: Key(2)] long RecordedStep,
        [property: Key(3)] long RecordedEvaluation,
        [property: Key(4)] long ProtectedStep,
        [property: Key(5)] int Hold = 0,
        [property: Key(6)] long AssuredStep = 0,
        [property: Key(7)] long CopyStep = 0) : ICommand;

    /// <summary>
    /// Begin no further step than the one that was begun last, whatever was granted before; answered by <see cref="StepsHeld"/>. Grants of the same number release
    /// the rank, and those of a newer generation.
    /// </summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Number">How often ranks have been asked to hold by this coordinator.</param>
    [MessagePackObject]
    public sealed record HoldSteps(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Number) : ICommand;

    /// <summary>
    /// Let the step under way be the last: said to the rank that makes the steps' totals, which tells the others with them, so that all
    /// end with the same step. Takes no turn among the other commands; without a step under way it says nothing.
    /// </summary>
    [MessagePackObject]
    public sealed record EndAfterStep([property: Key(0)] Generation Generation) : ICommand;

    /// <summary>
    /// Copy the state as it is after this step and write it while training goes on; a rank that is past it says that it failed.
    /// Said before steps beyond it are granted.
    /// </summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Step">The step whose end the state is of.</param>
    /// <param name="Attempt">Number of the try, never used twice for a step.</param>
    /// <param name="Hold">As in <see cref="GrantSteps"/>: with what is granted, saves of steps beyond it that were asked for before a later hold are void.</param>
    [MessagePackObject]
    public sealed record SaveCheckpoint(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] long Step,
        [property: Key(2)] int Attempt,
        [property: Key(3)] int Hold = 0) : ICommand;

    /// <summary>Stop at the next action's end and free everything; answer <see cref="StageStopped"/>.</summary>
    [MessagePackObject]
    public sealed record StopStage([property: Key(0)] Generation Generation) : ICommand;

    /// <summary>The rank takes inputs of this assignment from now on.</summary>
    [MessagePackObject]
    public sealed record StageAssigned(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }

    /// <summary>The rank begins no further step.</summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Rank">Rank.</param>
    /// <param name="Number">Which request is answered.</param>
    /// <param name="BegunStep">The last step that it has begun; the step that it starts from before.</param>
    [MessagePackObject]
    public sealed record StepsHeld(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] int Number,
        [property: Key(3)] long BegunStep) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }

    /// <summary>A copy of the rank's state is stored with its holder, whole.</summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Rank">Rank.</param>
    /// <param name="Step">Step whose end the state is of.</param>
    /// <param name="Holder">Who holds it; null where it lies in a folder.</param>
    [MessagePackObject]
    public sealed record CopyStored(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long Step,
        [property: Key(3)] NodeId? Holder) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }

    /// <summary>The stage has its units and waits for steps.</summary>
    /// <param name="Generation">Assignment.</param>
    /// <param name="Rank">Rank.</param>
    /// <param name="ParameterCount">Elements of the parameters that it owns.</param>
    [MessagePackObject]
    public sealed record StageReady(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long ParameterCount) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }

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
    /// <param name="Span">The span of the rank's part in the step's trace; 0 where nobody listens in its process.</param>
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
        [property: Key(8)] IReadOnlyList<ExecutedSpan> Spans,
        [property: Key(9)] ulong Span = 0) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }

    /// <summary>The last stage has the loss of the held-out micro-batches.</summary>
    [MessagePackObject]
    public sealed record HeldOutEvaluated(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long AfterStep,
        [property: Key(3)] double LossSum,
        [property: Key(4)] long TokenCount) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }

    /// <summary>The stage's files of a checkpoint are on disk; the checkpoint exists only once its manifest does.</summary>
    [MessagePackObject]
    public sealed record CheckpointPartWritten(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long Step,
        [property: Key(3)] int Attempt,
        [property: Key(4)] IReadOnlyList<WrittenFile> Files) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }

    /// <summary>The stage's files of a checkpoint could not be written; training goes on.</summary>
    [MessagePackObject]
    public sealed record CheckpointPartFailed(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long Step,
        [property: Key(3)] int Attempt,
        [property: Key(4)] string Message) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }

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
        [property: Key(7)] string Detail) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }

    /// <summary>The compute thread has ended and its memory is freed.</summary>
    [MessagePackObject]
    public sealed record StageStopped(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank) : IEvent
    {
        /// <inheritdoc/>
        public IEvent In(Generation generation) => this with { Generation = generation };
    }
}
