using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Stages;

/// <summary>
/// One replica's part in a bucket whose gradients nobody keeps (ZeRO stage 2, Rajbhandari et al. 2020): each micro-batch's is taken out of the
/// units as soon as backward is through with them, and what belongs to others is sent to them at once. The owner of a shard adds up, for fast
/// sums over the replicas first and then in the order of each one's micro-batches, for invariant ones in the tree over the step's. What it waits
/// for lies with its inbox; its own leaves lie here until the others' have come. Owns its buffers. On the compute thread only.
/// </summary>
internal sealed class FreedBucketReduction : IBucketReduction
{
    private readonly ReplicaPlace _place;
    private readonly GradientBucket _bucket;
    private readonly ReplicaLinks _links;
    private readonly ReductionPlan _plan;
    private readonly SpanStreams _streams;
    private readonly OwnedShard[] _owned;
    private readonly Transfer[] _outgoing;
    private long _ready;

    /// <param name="shards">Ranges of the bucket with their owners.</param>
    /// <param name="place">Which replica this is.</param>
    /// <param name="bucket">The gradients, in lent memory. Owned from now on.</param>
    /// <param name="settings">Compression.</param>
    /// <param name="links">The ways to the other replicas.</param>
    /// <param name="residuals">Where what compression loses is kept.</param>
    /// <param name="seed">The run's seed.</param>
    internal FreedBucketReduction(
        IReadOnlyList<Shard> shards, ReplicaPlace place, GradientBucket bucket, ReductionSettings settings, ReplicaLinks links, ResidualStore residuals, ulong seed)
    {
        (_place, _bucket, _links) = (place, bucket, links);
        // Who sends to whom in one micro-batch of each replica, whatever tree its leaves go into.
        _plan = ReductionPlans.Scatter(bucket.Length, new SummationTree(place.Count), LeafShare.OnePerReplica(place.Count), shards);
        var self = new Participant(place.Index);
        _streams = new SpanStreams(_plan, self, bucket, settings, residuals, seed);
        _outgoing = [.. _plan.Contributions.Where(transfer => transfer.From == self)];
        _owned = [.. shards.Where(shard => shard.Owner == self).Select(shard => new OwnedShard(shard, place, [.. _plan.Contributions.Where(transfer => transfer.To == self && transfer.Shard == shard)]))];
    }

    /// <inheritdoc/>
    public void AddLeaf(int leaf, StepKey step)
    {
        var round = leaf - _place.FirstMicroBatch;
        foreach (var transfer in _outgoing)
        {
            var tensor = _streams.Of(transfer).Encode(step.Step, Range(transfer.Shard), RoundingIndex(round, step));
            _links.Send(transfer.To.Replica, KeyOf(transfer, round, step), tensor);
        }

        foreach (var owned in _owned)
        {
            owned.Add(_place.Index, round, Range(owned.Shard));
            TakeRounds(owned);
        }

        _bucket.Values.Clear();
    }

    /// <inheritdoc/>
    /// <remarks>All was sent already.</remarks>
    public void Contribute(StepKey step)
    {
    }

    /// <inheritdoc/>
    public void Proceed(StepKey step) => Take(step, null);

    /// <inheritdoc/>
    public long Reduce(StepKey step, Action beforeWaiting)
    {
        Take(step, beforeWaiting);
        foreach (var owned in _owned) owned.Finish(sum => _bucket.AddToOwned(owned.Shard, sum));
        var ready = _ready;
        _ready = 0;
        return ready;
    }

    /// <inheritdoc/>
    /// <remarks>Nothing goes back: whoever owns a sum updates the weights.</remarks>
    public long Finish(StepKey step) => 0;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var owned in _owned) owned.Dispose();
        _streams.Dispose();
        _bucket.Dispose();
    }

    /// <summary>Takes what the others have sent, for each shard in the order of their micro-batches.</summary>
    private void Take(StepKey step, Action? beforeWaiting)
    {
        foreach (var owned in _owned)
        {
            while (owned.Next is var (transfer, round) && _links.Take(KeyOf(transfer, round, step), beforeWaiting) is var (tensor, ready))
            {
                _ready = Math.Max(_ready, ready);
                using (tensor) _streams.Of(transfer).Read(tensor, step.Step, sum => owned.Add(transfer.From.Replica, round, sum));
                TakeRounds(owned);
            }
        }
    }

    private void TakeRounds(OwnedShard owned) => owned.TakeRounds(sum => _bucket.AddToOwned(owned.Shard, sum));

    private ReadOnlySpan<float> Range(Shard shard) => _bucket.Values.Slice(shard.Start, shard.Length);

    private long RoundingIndex(int round, StepKey step) => step.Step * _place.Shares.Max(share => share.Count) + round;

    /// <summary>As in <see cref="BucketReduction"/>, with the micro-batch beside the sender.</summary>
    private FrameKey KeyOf(Transfer transfer, int round, StepKey step) =>
        new(step, _bucket.Name, round * _place.Count + transfer.From.Replica, transfer.Shard.Index, FrameKind.GradientContribution);
}
