using Pipeline.Model.Training;
using Pipeline.Protocol;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>Adds up what the stages contribute to a step, in the model's order whatever order they came in: pure.</summary>
internal static class StepTotalsBuilder
{
    /// <summary>The step's outcome from the contributions of all stages.</summary>
    internal static StepOutcome Of(IReadOnlyList<SquaredNorms> contributions)
    {
        var ordered = contributions.OrderBy(contribution => contribution.Stage).ToArray();
        var last = ordered[^1];
        var norm = GlobalNorm.Of(ordered.SelectMany(contribution => contribution.Squares), last.TokenCount);
        var verdict = last.NonFiniteMicroBatch >= 0 ? StepVerdict.NonFiniteLoss
            : double.IsFinite(norm) ? StepVerdict.Apply : StepVerdict.NonFiniteNorm;
        return new StepOutcome(last.LossSum, last.TokenCount, norm, verdict, last.NonFiniteMicroBatch);
    }
}
