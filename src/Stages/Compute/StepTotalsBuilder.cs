using Pipeline.Model.Training;
using Pipeline.Protocol;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>Adds up what the stages contribute to a step, in the order of model and micro-batches whatever order they came in: pure.</summary>
internal static class StepTotalsBuilder
{
    /// <summary>The step's outcome from the contributions of all stages.</summary>
    internal static StepOutcome Of(IReadOnlyList<SquaredNorms> contributions)
    {
        var ordered = contributions.OrderBy(contribution => contribution.Stage).ToArray();
        var tokenCount = ordered.Sum(contribution => contribution.TokenCount);
        double lossSum = 0;
        foreach (var loss in ordered.SelectMany(contribution => contribution.Losses)) lossSum += loss;
        var norm = GlobalNorm.Of(ordered.SelectMany(contribution => contribution.Squares), tokenCount);
        var nonFinite = ordered.Select(contribution => contribution.NonFiniteMicroBatch).FirstOrDefault(microBatch => microBatch >= 0, -1);
        var verdict = nonFinite >= 0 ? StepVerdict.NonFiniteLoss
            : double.IsFinite(norm) ? StepVerdict.Apply : StepVerdict.NonFiniteNorm;
        return new StepOutcome(lossSum, tokenCount, norm, verdict, nonFinite);
    }
}
