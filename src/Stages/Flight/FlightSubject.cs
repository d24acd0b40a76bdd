using System.Globalization;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>What an entry of the flight recorder is about: a value that is put into words only when somebody asks.</summary>
/// <param name="Kind">Which of the other parts count.</param>
/// <param name="Step">Step.</param>
/// <param name="Action">The action.</param>
/// <param name="Tensor">The tensor's kind.</param>
/// <param name="Place">Edge, tie, unit of a bucket, or contributor of squares.</param>
/// <param name="MicroBatch">Micro-batch; of what replicas exchange, the replica that sends.</param>
internal readonly record struct FlightSubject(FlightSubjectKind Kind, long Step, StageAction Action, FrameKind Tensor, int Place, int MicroBatch)
{
    internal static FlightSubject Of(StageAction action, long step) => new(FlightSubjectKind.Action, step, action, default, action.Stage, action.MicroBatch);

    internal static FlightSubject Of(FrameKey key) => new(FlightSubjectKind.Tensor, key.Step.Step, default, key.Kind, key.Edge, key.MicroBatch);

    internal static FlightSubject Squares(StepKey step, int stage) => new(FlightSubjectKind.Squares, step.Step, default, default, stage, 0);

    internal static FlightSubject Totals(StepKey step) => new(FlightSubjectKind.Totals, step.Step, default, default, 0, 0);

    internal static FlightSubject Of(NeighbourProtocol.INote note) => note is NeighbourProtocol.SquaredNorms squares ? Squares(note.Step, squares.Stage) : Totals(note.Step);

    internal static FlightSubject Grant(long step) => new(FlightSubjectKind.Grant, step, default, default, 0, 0);

    internal static FlightSubject Save(long step) => new(FlightSubjectKind.Save, step, default, default, 0, 0);

    internal static FlightSubject CopyPlace { get; } = new(FlightSubjectKind.CopyPlace, 0, default, default, 0, 0);

    /// <inheritdoc/>
    public override string ToString() => Kind switch
    {
        FlightSubjectKind.Action => Invariant($"{Action} of step {Step}"),
        FlightSubjectKind.Tensor => Tensor switch
        {
            FrameKind.Activation => Invariant($"the activation of micro-batch {MicroBatch} over edge {Place}, step {Step}"),
            FrameKind.Gradient => Invariant($"the gradient of micro-batch {MicroBatch} over edge {Place}, step {Step}"),
            FrameKind.EvaluationActivation => Invariant($"the activation of held-out micro-batch {MicroBatch} over edge {Place}, after step {Step}"),
            FrameKind.GradientContribution => Invariant($"the sums of replica {MicroBatch} for the bucket of unit {Place}, step {Step}"),
            FrameKind.ReducedGradient => Invariant($"the reduced gradient of the bucket of unit {Place} from {Replica}, step {Step}"),
            FrameKind.UpdatedWeights => Invariant($"the weights of unit {Place} that replica {MicroBatch} updates, step {Step}"),
            _ => Invariant($"the gradient of tie {Place}, step {Step}"),
        },
        FlightSubjectKind.Squares => Invariant($"the squares of stage {Place}{(MicroBatch > 0 ? Invariant($" of replica {MicroBatch}") : "")}, step {Step}"),
        FlightSubjectKind.Totals => Invariant($"the totals of step {Step}"),
        FlightSubjectKind.Grant => Invariant($"a grant beyond step {Step}"),
        FlightSubjectKind.Save => Invariant($"a save after step {Step}"),
        _ => HostedStage.Copies,
    };

    private string Replica => MicroBatch < 0 ? "the reducer" : Invariant($"replica {MicroBatch}");

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

/// <summary>What an entry of the flight recorder is about.</summary>
internal enum FlightSubjectKind
{
    /// <summary>An action of the schedule.</summary>
    Action,

    /// <summary>A tensor that one rank hands to another.</summary>
    Tensor,

    /// <summary>What a stage contributes to the step's totals.</summary>
    Squares,

    /// <summary>What the step amounts to.</summary>
    Totals,

    /// <summary>Leave to run further steps.</summary>
    Grant,

    /// <summary>A save that was ordered.</summary>
    Save,

    /// <summary>Room for one more copy of the state.</summary>
    CopyPlace,
}
