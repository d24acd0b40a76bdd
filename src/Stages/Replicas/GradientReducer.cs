using System.Diagnostics;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>
/// The reducer beside the replicas for the units of one rank of the first one (<c>reduction.topology = coordinator</c>): takes what all replicas contribute to
/// each bucket, adds it up in the same tree as they would, and answers all. It holds no unit and no weight. Owns its buckets. Called on one thread only.
/// </summary>
internal sealed class GradientReducer : IDisposable
{
    private readonly IReadOnlyList<(int Stage, BucketReduction Reduction)> _buckets;
    private readonly StepRecorder _recorder;

    internal GradientReducer(RankPlan plan, StageInbox inbox, IStageLinks links, StepRecorder recorder)
    {
        _recorder = recorder;
        var replicas = new ReplicaLinks(links, inbox, recorder, plan.Mesh.RankOfUnit);
        // Backward comes to the last of a rank's stages first.
        _buckets = [.. plan.Schedule.StagesOf(plan.Rank).OrderDescending().SelectMany(stage => BucketsOf(plan, stage, replicas))];
    }

    /// <summary>Adds one step up and answers.</summary>
    internal void Run(StepKey step)
    {
        foreach (var (_, bucket) in _buckets) bucket.Contribute(step);
        foreach (var (stage, bucket) in _buckets)
        {
            var asked = Stopwatch.GetTimestamp();
            // What has come of others is not left lying while one is waited for.
            var ready = bucket.Reduce(step, () => Proceed(step, bucket));
            _recorder.Record(StageAction.StepLevel(stage, ActionKind.ReduceScatter), asked, ready, Math.Max(asked, ready));
        }

        foreach (var (_, bucket) in _buckets) bucket.Finish(step);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var (_, bucket) in _buckets) bucket.Dispose();
    }

    private void Proceed(StepKey step, BucketReduction except)
    {
        foreach (var (_, bucket) in _buckets)
        {
            if (bucket != except) bucket.Proceed(step);
        }
    }

    private static IEnumerable<(int, BucketReduction)> BucketsOf(RankPlan plan, int stage, ReplicaLinks links)
    {
        var first = plan.Own.FirstUnitOf(stage);
        var (units, place) = (plan.Workload.Units, plan.Place);
        var settings = plan.Owners is null ? plan.Reduction : OwnedReduction.Settings(plan.Reduction);
        long[] lengths = [.. plan.Own.UnitsOf(stage).Select(unit => GradientPlaces.LengthOf(units[unit]))];
        foreach (var bucket in BucketList.Of(lengths, settings.BucketLength, plan.CutsOf(stage)))
        {
            Unit[] held = [.. bucket.Units.Select(unit => units[first + unit])];
            var span = new ReducerBucket(held, first + bucket.Units[0]);
            var length = checked((int)bucket.Length);
            var topology = plan.Owners is { } owners
                ? OwnedReduction.Plan(length, place, OwnedReduction.ShardsOf(held, owners), settings)
                : ReductionPlans.Make(settings.Topology, length, place.Tree, place.Leaves, settings.GroupsOf(place.Count, place.Machines), settings.LongestPiece);
            yield return (stage, new BucketReduction(topology, Participant.Reducer, place, span, settings, links, plan.Residuals, plan.Workload.Options.Seed));
        }
    }
}
