using Pipeline.Model.Training;
using Pipeline.Protocol;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>Adds up what the stages contribute to a step, in the order of model and micro-batches whatever order they came in: pure.</summary>
internal static class StepTotalsBuilder
{
    /// <summary>The step's outcome from the contributions of all stages.</summary>
    /// <param name="contributions">In any order; stages count replica by replica.</param>
    /// <param name="stageCounts">Stages of each replica.</param>
    /// <param name="ownGradients">
    /// Replicas whose gradients are each their own: the norm is then the root mean square of those of their mean gradients; 1 where all hold one sum.
    /// </param>
    /// <exception cref="InvalidOperationException">Replicas do not agree how many squares the model has.</exception>
    internal static StepOutcome Of(IReadOnlyList<SquaredNorms> contributions, IReadOnlyList<int> stageCounts, int ownGradients = 1)
    {
        var ordered = contributions.OrderBy(contribution => contribution.Stage).ToArray();
        var tokenCount = ordered.Sum(contribution => contribution.TokenCount);
        double lossSum = 0;
        foreach (var loss in ordered.SelectMany(contribution => contribution.Losses)) lossSum += loss;
        var norm = GlobalNorm.Of(SquaresOf(ordered, stageCounts), tokenCount);
        // Each has computed a d-th of the tokens: √(Σ‖g‖² ÷ d) ÷ (tokens ÷ d).
        if (ownGradients > 1) norm *= Math.Sqrt(ownGradients);
        var nonFinite = ordered.Select(contribution => contribution.NonFiniteMicroBatch).FirstOrDefault(microBatch => microBatch >= 0, -1);
        var verdict = nonFinite >= 0 ? StepVerdict.NonFiniteLoss
            : double.IsFinite(norm) ? StepVerdict.Apply : StepVerdict.NonFiniteNorm;
        return new StepOutcome(lossSum, tokenCount, norm, verdict, nonFinite);
    }

    /// <summary>
    /// The squares in the model's order: a replica's stages say them one behind the other, however it is cut into stages. Each is of one replica and 0 in what
    /// the others say, so that their sum is exact; or of all, added in their order; or only the first says any.
    /// </summary>
    private static IReadOnlyList<double> SquaresOf(SquaredNorms[] ordered, IReadOnlyList<int> stageCounts) => ReplicasOf(ordered, stageCounts)
        .Aggregate((left, right) => left.Count == 0 ? right : right.Count == 0 ? left
            : left.Count == right.Count ? [.. left.Zip(right, (one, other) => one + other)]
            : throw new InvalidOperationException($"Two replicas say {left.Count} and {right.Count} squares: they hold different parameters."));

    private static IEnumerable<IReadOnlyList<double>> ReplicasOf(SquaredNorms[] ordered, IReadOnlyList<int> stageCounts)
    {
        var first = 0;
        foreach (var count in stageCounts)
        {
            yield return [.. ordered.Skip(first).Take(count).SelectMany(contribution => contribution.Squares)];
            first += count;
        }
    }
}
