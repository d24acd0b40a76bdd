using System.Numerics;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Training;

/// <summary>
/// What adding a stage's gradients up over replicas needs in memory, from shapes alone: buckets that units are gathered in, sums that wait for
/// their sibling in the tree, residuals, and what has been sent and is kept until a copy makes it needless.
/// </summary>
/// <param name="plan">What is trained.</param>
/// <param name="layout">How it is spread.</param>
/// <param name="replica">The replica that is looked at.</param>
/// <param name="isSpread">Whether ranks lie in several processes.</param>
internal sealed class ExchangeEstimate(TrainingPlan plan, RunLayout layout, ReplicaStages replica, bool isSpread)
{
    private const int ElementBytes = 4;
    private readonly int _replicaCount = layout.ReplicaCount;
    private readonly int _share = replica.Schedule.MicroBatchCount;
    private readonly IReadOnlyList<int> _cuts = layout.Mesh.Cuts;

    /// <summary>Bytes on a rank for one stage.</summary>
    /// <param name="first">Place in the model of its first unit.</param>
    /// <param name="unitLengths">Elements of each of its units, in model order.</param>
    internal long BytesOf(int first, IReadOnlyList<long> unitLengths)
    {
        if (!plan.Reduces && !plan.StepsLocally) return 0;
        var buckets = BucketList.Of(unitLengths, plan.Reduction.BucketLength, [.. _cuts.Select(cut => cut - first)]);
        var length = unitLengths.Sum();
        var elements = (plan.ReducesEachMicroBatch ? buckets.Max(bucket => bucket.Length) + Sums(length / _replicaCount) : Gathered(buckets) + Sums(length))
            + (plan.StepsLocally ? 2 * length : 0) + (long)Math.Ceiling(length * (Residuals() + Kept()));
        return elements * ElementBytes;
    }

    private bool IsInvariant => plan.Summation == Summation.Invariant;

    /// <summary>Buckets of one unit lie in its gradient.</summary>
    private static long Gathered(IReadOnlyList<Bucket> buckets) => buckets.Where(bucket => bucket.Units.Count > 1).Sum(bucket => bucket.Length);

    /// <summary>Sums under way: of its own leaves where these are micro-batches, and of what comes from others.</summary>
    private long Sums(long length) => plan.ReducesEachMicroBatch
        ? length * (1 + (IsInvariant ? _replicaCount * Buffers(_share) : Buffers(_replicaCount)))
        : (IsInvariant ? length * Buffers(_share) : 0) + (_replicaCount > 1 ? length * Buffers(_replicaCount) / _replicaCount : 0);

    /// <summary>Of a tree, whose leaves come in the order of their indices.</summary>
    private static int Buffers(int leafCount) => BitOperations.Log2((uint)Math.Max(1, leafCount - 1) | 1) + (leafCount > 1 ? 2 : 1);

    /// <summary>A residual for what is contributed to others, and one for the own share's answer, or what the others lack of its weights; in elements of the stage.</summary>
    private double Residuals()
    {
        if (_replicaCount == 1) return 0;
        var contributed = Lossy(plan.Reduction.Contributions) ? (_replicaCount - 1.0) / _replicaCount : 0;
        return contributed + (Lossy(plan.Reduction.Answers) ? 1.0 / _replicaCount : 0);

        static bool Lossy(CompressionSettings compression) => compression is { Kind: not CompressionKind.None, ErrorFeedback: true };
    }

    /// <summary>What is sent uncompressed in a step, as often as steps pass from one protected one to the next.</summary>
    private double Kept()
    {
        if (!isSpread || _replicaCount == 1) return 0;
        var others = (_replicaCount - 1.0) / _replicaCount;
        var contributions = others * (plan.ReducesEachMicroBatch ? _share : 1);
        var answers = plan.SharesOptimizer ? others * (plan.Precision == Model.Precision.Bf16 ? 0.5 : 1) : others;
        var steps = (plan.Protection.Kind == ProtectionKind.None ? 1 : plan.Protection.Every) + plan.StepsAhead;
        return (contributions + answers) * (plan.Reduction.Outer is { } outer ? Math.Ceiling((double)steps / outer.Every) : steps);
    }
}
