using MessagePack;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol;

/// <summary>
/// The conversation between stages at the end of a step, beside the tensor frames: each stage tells the one that holds stage 0 its
/// squares, and that one tells all what the step amounts to. The coordinator takes no part in it.
/// </summary>
public static class NeighbourProtocol
{
    /// <summary>A small message between stages.</summary>
    public interface INote : IWireMessage
    {
        /// <summary>Run, generation, attempt and step.</summary>
        StepKey Step { get; }

        /// <summary>The same note, said in another assignment.</summary>
        INote In(Generation generation);
    }

    /// <summary>What one stage contributes to the step's totals.</summary>
    /// <param name="Step">Step.</param>
    /// <param name="Stage">Who contributes: stage s of replica r is r · stages + s.</param>
    /// <param name="Squares">Sum of squares of each owned parameter's gradient, in model order: 0 where another replica owns it, none where the first replica says all.</param>
    /// <param name="Losses">Summed loss of each of the replica's micro-batches, in their order; none except on the last stage.</param>
    /// <param name="TokenCount">Predicted tokens; 0 except on the last stage.</param>
    /// <param name="NonFiniteMicroBatch">First micro-batch of the step whose loss is not finite; -1 if none.</param>
    /// <param name="Known">
    /// What the step amounts to, where the sender was told before the totals' rank was lost: it must say the same again, or a stop that
    /// one rank has acted on would be unsaid to the others. Null in all other cases.
    /// </param>
    /// <param name="Span">The span that it is sent from, see <see cref="StepTraces"/>; 0 for none.</param>
    [MessagePackObject]
    public sealed record SquaredNorms(
        [property: Key(0)] StepKey Step,
        [property: Key(1)] int Stage,
        [property: Key(2)] IReadOnlyList<double> Squares,
        [property: Key(3)] IReadOnlyList<double> Losses,
        [property: Key(4)] long TokenCount,
        [property: Key(5)] int NonFiniteMicroBatch,
        [property: Key(6)] StepOutcome? Known = null,
        [property: Key(7)] ulong Span = 0) : INote
    {
        /// <inheritdoc/>
        public INote In(Generation generation) => this with { Step = Step.In(generation) };
    }

    /// <summary>What the step amounts to, for every stage to act on alike.</summary>
    /// <param name="Step">Step.</param>
    /// <param name="Outcome">What it amounts to.</param>
    /// <param name="Span">The span that it is sent from; 0 for none.</param>
    [MessagePackObject]
    public sealed record StepTotals(
        [property: Key(0)] StepKey Step,
        [property: Key(1)] StepOutcome Outcome,
        [property: Key(2)] ulong Span = 0) : INote
    {
        /// <inheritdoc/>
        public INote In(Generation generation) => this with { Step = Step.In(generation) };
    }
}
