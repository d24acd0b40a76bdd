using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Stages;

/// <summary>
/// Adds the gradients of one stage up over the replicas, bucket by bucket in the order in which backward finishes the units: between the
/// stage's last leaf and its tied sum. Owns the buckets. On the compute thread only.
/// </summary>
internal sealed class StageReduction : IDisposable
{
    private readonly BucketReduction[] _buckets;

    /// <param name="model">The stage.</param>
    /// <param name="place">Which replica it belongs to.</param>
    /// <param name="settings">Topology, buckets, compression.</param>
    /// <param name="links">The ways to the same stage of other replicas.</param>
    /// <param name="residuals">Where what compression loses is kept.</param>
    internal StageReduction(StageModel model, ReplicaPlace place, ReductionSettings settings, ReplicaLinks links, ResidualStore residuals)
    {
        _buckets =
        [
            .. BucketList.Of([.. model.Units.Select(unit => unit.Gradient.numel())], settings.BucketLength)
                .Select(bucket => Reduction(bucket, [.. bucket.Units.Select(index => model.Units[index])], model, place, settings, links, residuals)),
        ];
    }

    /// <summary>Takes one micro-batch's gradient out of the flat buffers, where each is a leaf of its own; else without effect.</summary>
    internal void AddLeaf(int microBatch)
    {
        foreach (var bucket in _buckets) bucket.AddLeaf(microBatch);
    }

    /// <summary>The replica's gradients are final: sends what others await.</summary>
    internal void Contribute(StepKey step)
    {
        foreach (var bucket in _buckets) bucket.Contribute(step);
    }

    /// <summary>Completes the shards that the replica owns and answers; when the last input had arrived, or 0.</summary>
    internal long Reduce(StepKey step) => _buckets.Max(bucket => bucket.Reduce(step));

    /// <summary>Takes the others' shards: the flat buffers then hold the sum of all replicas. When the last input had arrived, or 0.</summary>
    internal long Finish(StepKey step) => _buckets.Max(bucket => bucket.Finish(step));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var bucket in _buckets) bucket.Dispose();
    }

    private static BucketReduction Reduction(
        Bucket bucket, IReadOnlyList<UnitState> units, StageModel model, ReplicaPlace place, ReductionSettings settings, ReplicaLinks links, ResidualStore residuals)
    {
        var plan = ReductionPlans.Make(settings.Topology, checked((int)bucket.Length), place.Tree, place.Leaves, settings.GroupsOf(place.Count));
        return new BucketReduction(plan, place, new GradientBucket(units), settings, links, residuals, model.Options.Seed);
    }
}
