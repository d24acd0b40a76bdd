using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// The world in which a schedule is simulated: what actions cost, how fast ranks are, how outputs travel, what memory they
/// hold, how gradients are reduced. One unit of time for all, seconds where links or profiles are real.
/// </summary>
public sealed record SimulationModel
{
    /// <summary>What each action costs on a rank of speed 1, per stage and kind. Its latency per hop is added to every link's.</summary>
    public required ActionCosts Costs { get; init; }

    /// <summary>Relative speed of each rank, above 0; empty where all have speed 1.</summary>
    public ImmutableArray<double> SpeedOfRank { get; init; } = [];

    /// <summary>Ranks that are slow for a while.</summary>
    public ImmutableArray<Slowdown> Slowdowns { get; init; } = [];

    /// <summary>By how much actions differ from their costs; by default not at all.</summary>
    public Jitter Jitter { get; init; }

    /// <summary>How outputs travel; null where only the latency per hop counts.</summary>
    public LinkModel? Links { get; init; }

    /// <summary>What each stage keeps in memory; empty where memory is not asked for.</summary>
    public ImmutableArray<StageMemory> Memory { get; init; } = [];

    /// <summary>How the gradients of a stage are reduced over replicas of the pipeline; null where there is nothing to reduce.</summary>
    public IReductionModel? Reductions { get; init; }

    /// <summary>When each rank begins; empty where all begin at 0.</summary>
    public ImmutableArray<double> StartOfRank { get; init; } = [];

    /// <summary>
    /// Whether optimizers wait for the norms of all stages. Where they do not, a rank goes on with the next step at once, and what
    /// counts is what a step adds, <see cref="SteadySteps"/>.
    /// </summary>
    public bool WaitsForNorm { get; init; } = true;

    /// <summary>The relative speed of a rank for an action that starts at a moment.</summary>
    internal double SpeedAt(int rank, double start)
    {
        var speed = SpeedOfRank.IsEmpty ? 1 : SpeedOfRank[rank];
        foreach (var slowdown in Slowdowns)
            if (slowdown.Rank == rank && start >= slowdown.From && start < slowdown.To)
                speed /= slowdown.Factor;
        return speed;
    }
}

/// <summary>A rank that takes longer for what it starts within a while: a straggler, or a neighbour's work on the same node.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="Factor">Its actions take so many times as long, above 0.</param>
/// <param name="From">From when on.</param>
/// <param name="To">Until when; infinity for good.</param>
public readonly record struct Slowdown(int Rank, double Factor, double From = 0, double To = double.PositiveInfinity);

/// <summary>What one stage holds in memory, in bytes.</summary>
/// <param name="Static">All the step: weights, gradients, moments.</param>
/// <param name="Kept">A micro-batch's activations from its forward, or from its recomputation, to the end of its backward.</param>
/// <param name="Dropped">What stays of them between the forward and a recomputation: at least the stage's input.</param>
/// <param name="Deferred">What stays between the input-gradient and the weight-gradient half.</param>
public readonly record struct StageMemory(long Static, long Kept, long Dropped, long Deferred);

/// <summary>
/// What a reduction of a stage's gradients costs: the place where data parallelism plugs in. A reduction begins when the stage's
/// last leaf is made, runs beside the computation on its rank's own lane, one after the other, and ends before the stage's
/// share of the norm is taken; whatever of it the rank waits for is exposed.
/// </summary>
public interface IReductionModel
{
    /// <summary>Time from the start to the end of the reduction of one stage, from 0.</summary>
    double Cost(int stage, int rank);
}

/// <summary>
/// A ring over the replicas: reduce-scatter and all-gather, each moving (d−1)/d of the gradient in d−1 hops.
/// </summary>
/// <param name="ReplicaCount">Replicas of the pipeline, d.</param>
/// <param name="GradientBytes">Of each stage.</param>
/// <param name="BytesPerSecond">Of each replica's link, each way.</param>
/// <param name="Latency">Of one hop.</param>
public sealed record RingReduction(int ReplicaCount, ImmutableArray<long> GradientBytes, double BytesPerSecond, double Latency) : IReductionModel
{
    /// <inheritdoc/>
    public double Cost(int stage, int rank) => ReplicaCount == 1
        ? 0
        : 2 * (ReplicaCount - 1) * (Latency + (GradientBytes[stage] / (double)ReplicaCount / BytesPerSecond));
}
