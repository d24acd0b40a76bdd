using System.Diagnostics;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Topologies;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Adds the gradients of one stage up over the replicas, bucket by bucket in the order in which backward finishes the units: from the
/// stage's last leaf on, while backward goes on with other units, to its tied sum. Owns the buckets. On the compute thread only.
/// </summary>
internal sealed class StageReduction : IDisposable
{
    private readonly (int FirstUnit, IBucketReduction Reduction)[] _buckets;
    private readonly bool _overlaps;
    private readonly bool _frees;

    /// <param name="model">The stage.</param>
    /// <param name="place">Which replica it belongs to.</param>
    /// <param name="settings">Topology, buckets, compression.</param>
    /// <param name="links">The ways to the same units of other replicas.</param>
    /// <param name="owners">Who completes the sum of which parameter; null where all replicas are to have all sums.</param>
    /// <param name="residuals">Where what compression loses is kept.</param>
    /// <param name="cuts">Places in the stage at which a stage of another replica begins, so that no bucket lies across them; null for none.</param>
    internal StageReduction(
        StageModel model, ReplicaPlace place, ReductionSettings settings, ReplicaLinks links, OptimizerOwners? owners, ResidualStore residuals, IReadOnlyCollection<int>? cuts = null)
    {
        _overlaps = settings.Overlaps;
        _frees = model.Options.FreesGradients;
        var buckets = BucketList.Of([.. model.Units.Select(unit => unit.Length)], settings.BucketLength, cuts);
        var lent = _frees ? model.TakeTurnsInGradientMemory([.. buckets.Select(bucket => bucket.Units)]) : null;
        _buckets = [.. buckets.Select(bucket => (bucket.Units.Min(), Reduction(bucket, lent, model, place, settings, links, owners, residuals)))];
        model.TellFinishedAt(_buckets.Select(bucket => bucket.FirstUnit));
    }

    /// <summary>A micro-batch's part is in the gradients of some units.</summary>
    /// <param name="microBatch">Its place in the step.</param>
    /// <param name="units">Places in the stage; those behind them were told before.</param>
    /// <param name="isLast">Whether it is the replica's last: the gradients are final then.</param>
    /// <param name="step">Step.</param>
    internal void UnitsFinished(int microBatch, Range units, bool isLast, StepKey step)
    {
        var isTold = false;
        foreach (var (firstUnit, bucket) in _buckets)
        {
            if (firstUnit < units.Start.Value || firstUnit >= units.End.Value) continue;
            if (isTold && _frees) throw new UnreachableException($"Units {units} lie in two buckets, whose gradients take turns in one memory.");
            isTold = true;
            bucket.AddLeaf(microBatch, step);
            if (isLast && _overlaps) bucket.Contribute(step);
        }
    }

    /// <summary>All gradients of the replica are final: sends what others await and was not sent yet.</summary>
    internal void Contribute(StepKey step)
    {
        foreach (var (_, bucket) in _buckets)
        {
            bucket.Contribute(step);
            // What comes meanwhile is added while it is in the processor's cache.
            Proceed(step);
        }
    }

    /// <summary>Does what can be done without waiting.</summary>
    internal void Proceed(StepKey step)
    {
        foreach (var (_, bucket) in _buckets) bucket.Proceed(step);
    }

    /// <summary>Completes the shards that the replica owns and answers; when the last input had arrived, or 0.</summary>
    internal long Reduce(StepKey step) => _buckets.Max(bucket => bucket.Reduction.Reduce(step, () => Proceed(step, bucket.Reduction)));

    /// <summary>Takes the others' shards: the flat buffers then hold the sum of all replicas. When the last input had arrived, or 0.</summary>
    internal long Finish(StepKey step) => _buckets.Max(bucket => bucket.Reduction.Finish(step));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var (_, bucket) in _buckets) bucket.Dispose();
    }

    /// <summary>Most bytes that sums under way have taken; of gradients that are freed nothing is counted here.</summary>
    internal long PeakSumBytes => _buckets.Sum(bucket => (bucket.Reduction as BucketReduction)?.PeakSumBytes ?? 0);

    /// <summary>While one bucket waits, the others go on.</summary>
    private void Proceed(StepKey step, IBucketReduction except)
    {
        foreach (var (_, bucket) in _buckets)
        {
            if (bucket != except) bucket.Proceed(step);
        }
    }

    private static IBucketReduction Reduction(
        Bucket bucket, torch.Tensor? lent, StageModel model, ReplicaPlace place, ReductionSettings settings, ReplicaLinks links, OptimizerOwners? owners, ResidualStore residuals)
    {
        var length = checked((int)bucket.Length);
        if (owners is null)
        {
            // One replica, which invariant sums keep busy, needs nobody beside it.
            var topology = place.Count == 1 ? ReductionTopology.Sharded : settings.Topology;
            return Whole(ReductionPlans.Make(topology, length, place.Tree, place.Leaves, settings.GroupsOf(place.Count, place.Machines), settings.LongestPiece), Gradients());
        }

        var gradients = Gradients();
        var shards = OwnedReduction.ShardsOf([.. bucket.Units.Select(index => model.Units[index].Unit)], owners);
        settings = OwnedReduction.Settings(settings);
        return lent is not null
            ? new FreedBucketReduction(shards, place, gradients, settings, links, residuals, model.Options.Seed)
            : Whole(OwnedReduction.Plan(length, place, shards, settings), gradients);

        GradientBucket Gradients() => new([.. bucket.Units.Select(index => model.Units[index])], lent);

        BucketReduction Whole(ReductionPlan plan, GradientBucket gradients) => new(plan, new Participant(place.Index), place, gradients, settings, links, residuals, model.Options.Seed);
    }
}
