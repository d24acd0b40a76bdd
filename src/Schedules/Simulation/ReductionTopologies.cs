using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Every replica sends its gradient to one reducer, whose link carries all of them in and all answers out, one way after the other.</summary>
/// <param name="ReplicaCount">Replicas of the pipeline, d.</param>
/// <param name="GradientBytes">Of each stage, as they travel: after any compression.</param>
/// <param name="BytesPerSecond">Of each link, each way.</param>
/// <param name="Latency">Of one hop.</param>
public sealed record StarReduction(int ReplicaCount, ImmutableArray<long> GradientBytes, double BytesPerSecond, double Latency) : IReductionModel
{
    /// <inheritdoc/>
    public double Cost(int stage, int rank) => ReplicaCount == 1 ? 0 : 2 * (Latency + ReplicaCount * (GradientBytes[stage] / BytesPerSecond));
}

/// <summary>
/// Each replica completes a share and hears every other one directly: reduce-scatter and all-gather of (d−1)/d of the gradient in one hop each.
/// </summary>
/// <param name="ReplicaCount">Replicas of the pipeline, d.</param>
/// <param name="GradientBytes">Of each stage, as they travel: after any compression.</param>
/// <param name="BytesPerSecond">Of each replica's link, each way.</param>
/// <param name="Latency">Of one hop.</param>
public sealed record ShardedReduction(int ReplicaCount, ImmutableArray<long> GradientBytes, double BytesPerSecond, double Latency) : IReductionModel
{
    /// <inheritdoc/>
    public double Cost(int stage, int rank) => ReplicaCount == 1
        ? 0
        : 2 * (Latency + (ReplicaCount - 1.0) / ReplicaCount * (GradientBytes[stage] / BytesPerSecond));
}

/// <summary>
/// The replicas of a machine add up at their leader over its inner link, the leaders exchange as in <see cref="ShardedReduction"/>, and the
/// sums go back.
/// </summary>
/// <param name="GroupCount">Machines.</param>
/// <param name="GroupSize">Replicas of a machine.</param>
/// <param name="GradientBytes">Of each stage, as they travel: after any compression.</param>
/// <param name="Within">Bytes a second of a leader's inner link, each way.</param>
/// <param name="BetweenBytesPerSecond">Of a leader's link to other machines, each way.</param>
/// <param name="Latency">Of one hop between machines.</param>
public sealed record HierarchicalReduction(
    int GroupCount, int GroupSize, ImmutableArray<long> GradientBytes, double Within, double BetweenBytesPerSecond, double Latency) : IReductionModel
{
    /// <inheritdoc/>
    public double Cost(int stage, int rank) =>
        2 * (GroupSize - 1) * (GradientBytes[stage] / Within) + new ShardedReduction(GroupCount, GradientBytes, BetweenBytesPerSecond, Latency).Cost(stage, rank);
}

/// <summary>A reduction whose ends compress what they send and restore what they get.</summary>
/// <param name="Inner">What travels takes so long.</param>
/// <param name="GradientBytes">Of each stage, before compression.</param>
/// <param name="SecondsPerByte">Of work, for each byte of the gradient; 0 where nothing is compressed.</param>
public sealed record CompressingReduction(IReductionModel Inner, ImmutableArray<long> GradientBytes, double SecondsPerByte) : IReductionModel
{
    /// <inheritdoc/>
    public double Cost(int stage, int rank) => Inner.Cost(stage, rank) + GradientBytes[stage] * SecondsPerByte;
}
