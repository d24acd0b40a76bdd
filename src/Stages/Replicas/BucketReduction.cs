using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// One replica's part in the reduction of one bucket: it sends its sums as soon as the gradients are final, completes the shards that it
/// owns, and takes the others' from their owners. What has come is worked on whenever the compute thread looks; only
/// <see cref="Reduce"/> and <see cref="Finish"/> wait. Afterwards all replicas hold the same bits. Owns its buffers. On the compute thread only.
/// </summary>
internal sealed class BucketReduction : IBucketReduction
{
    private readonly ReductionPlan _plan;
    private readonly Participant _self;
    private readonly IGradientBucket _bucket;
    private readonly ReplicaLinks _links;
    private readonly Dictionary<int, ShardReduction> _parts;
    private readonly SpanStreams _streams;
    private readonly TreeAccumulator? _leaves;
    private readonly IReadOnlyList<TreeNode> _own;
    private readonly Dictionary<int, Transfer> _direct;
    private readonly Transfer[] _contributions;
    private readonly Transfer[] _answers;
    private readonly List<Transfer> _awaitedContributions = [];
    private readonly List<Transfer> _awaitedAnswers = [];
    private bool _hasContributed;
    private long _ready;

    /// <param name="plan">Who sends what to whom.</param>
    /// <param name="self">Who this is: a replica, or the reducer beside them.</param>
    /// <param name="place">The replicas and their order.</param>
    /// <param name="bucket">The gradients. Owned from now on.</param>
    /// <param name="settings">Compression.</param>
    /// <param name="links">The ways to the other replicas.</param>
    /// <param name="residuals">Where what compression loses is kept.</param>
    /// <param name="seed">The run's seed.</param>
    internal BucketReduction(
        ReductionPlan plan, Participant self, ReplicaPlace place, IGradientBucket bucket, ReductionSettings settings, ReplicaLinks links, ResidualStore residuals, ulong seed)
    {
        _plan = plan;
        _self = self;
        _bucket = bucket;
        _links = links;
        _parts = plan.Shards.ToDictionary(shard => shard.Index, shard => new ShardReduction(plan, _self, shard));
        _streams = new SpanStreams(plan, _self, bucket, settings, residuals, seed);
        _own = plan.Own(_self);
        _direct = _parts.Values.Where(part => part.Outgoing is not null && plan.ContributionsTo(_self, part.Shard).Count == 0)
            .ToDictionary(part => part.Shard.Index, part => part.Outgoing!);
        // What is merely passed on comes first: an owner may wait for it.
        _contributions = [.. plan.Contributions.Where(transfer => transfer.To == _self).OrderBy(transfer => transfer.Shard.Owner == _self)];
        _answers = [.. plan.Answers.Where(answer => answer.To == _self)];
        if (place.Summation == Summation.Invariant && self.IsReplica) _leaves = new TreeAccumulator(plan.Tree, plan.Length);
    }

    /// <inheritdoc/>
    /// <remarks>Where each micro-batch is a leaf of its own, its gradient is taken out of the units.</remarks>
    public void AddLeaf(int leaf, StepKey step)
    {
        if (_leaves is null) return;
        _bucket.Gather();
        _leaves.Add(leaf, _bucket.Values);
        _bucket.Clear();
    }

    /// <inheritdoc/>
    public void Contribute(StepKey step)
    {
        if (_hasContributed) return;
        _hasContributed = true;
        _ready = 0;
        _awaitedContributions.AddRange(_contributions);
        _awaitedAnswers.AddRange(_answers);
        if (_leaves is null)
        {
            _bucket.Gather();
            Contribute(_own, _ => _bucket.Values, step);
            return;
        }

        var sums = _leaves.TakeParts();
        Contribute([.. sums.Select(sum => sum.Node)], index => sums[index].Sum.Span, step);
        foreach (var sum in sums) sum.Dispose();
    }

    /// <inheritdoc/>
    public void Proceed(StepKey step)
    {
        if (!_hasContributed) return;
        TakeContributions(step, waits: false);
        TakeAnswers(step, waits: false);
    }

    /// <inheritdoc/>
    public long Reduce(StepKey step)
    {
        TakeContributions(step, waits: true);
        return _ready;
    }

    /// <inheritdoc/>
    public long Finish(StepKey step)
    {
        TakeAnswers(step, waits: true);
        _bucket.Scatter();
        _hasContributed = false;
        return _ready;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var part in _parts.Values) part.Dispose();
        _streams.Dispose();
        _leaves?.Dispose();
        _bucket.Dispose();
    }

    /// <summary>Sends or adds the replica's own sums. What nobody adds to here goes from where it lies.</summary>
    private void Contribute(IReadOnlyList<TreeNode> nodes, Sums sums, StepKey step)
    {
        foreach (var part in _parts.Values)
        {
            var shard = part.Shard;
            if (_direct.GetValueOrDefault(shard.Index) is { } transfer)
            {
                Send(transfer, step, joined =>
                {
                    for (var index = 0; index < nodes.Count; index++) sums(index).Slice(shard.Start, shard.Length).CopyTo(joined[(index * shard.Length)..]);
                });
                continue;
            }

            for (var index = 0; index < nodes.Count; index++) part.Add(nodes[index], sums(index).Slice(shard.Start, shard.Length));
            Advance(part, step);
        }
    }

    private void TakeContributions(StepKey step, bool waits) => Take(_awaitedContributions, step, waits, (transfer, tensor) =>
    {
        var part = _parts[transfer.Shard.Index];
        _streams.Of(transfer).Read(tensor, step.Step, sums =>
        {
            for (var index = 0; index < transfer.Nodes.Count; index++)
                part.Add(transfer.Nodes[index], sums.Slice(index * transfer.Shard.Length, transfer.Shard.Length));
        });
        Advance(part, step);
    });

    private void TakeAnswers(StepKey step, bool waits) => Take(_awaitedAnswers, step, waits, (answer, tensor) =>
    {
        var sum = Range(answer.Shard);
        _streams.Answer(answer.Shard).Decode(tensor, sum, step.Step);
        PassOn(tensor, answer.Shard, step);
    });

    private void Take(List<Transfer> awaited, StepKey step, bool waits, Action<Transfer, Tensor> take)
    {
        for (var index = 0; index < awaited.Count;)
        {
            var transfer = awaited[index];
            if (_links.Take(KeyOf(transfer, step), waits) is not var (tensor, ready))
            {
                index++;
                continue;
            }

            awaited.RemoveAt(index);
            using (tensor) take(transfer, tensor);
            _ready = Math.Max(_ready, ready);
        }
    }

    /// <summary>Passes a shard's sums on, or answers for it, once all that is awaited has come.</summary>
    private void Advance(ShardReduction part, StepKey step)
    {
        if (!part.IsReady) return;
        if (part.Shard.Owner == _self) Answer(part, step);
        else if (part.Outgoing is { } transfer) Contribute(part, transfer, step);
    }

    private void Contribute(ShardReduction part, Transfer transfer, StepKey step)
    {
        var sums = part.TakeOutgoing();
        Send(transfer, step, joined =>
        {
            for (var index = 0; index < sums.Count; index++)
            {
                using var sum = sums[index];
                sum.Sum.Span.CopyTo(joined[(index * transfer.Shard.Length)..]);
            }
        });
    }

    /// <summary>The sums lie one behind the other in a tensor of their own.</summary>
    private void Send(Transfer transfer, StepKey step, SpanStream.Filler fill) =>
        _links.Send(transfer.To.Replica, KeyOf(transfer, step), _streams.Of(transfer).Encode(step.Step, fill));

    private void Answer(ShardReduction part, StepKey step)
    {
        part.TakeSum(Range(part.Shard));
        var stream = _streams.Answer(part.Shard);
        if (_plan.ReplicaCount == 1) return;
        using var answer = stream.Encode(step.Step, values => Range(part.Shard).CopyTo(values));
        // The owner goes on with what the others get, not with what it knows better.
        if (stream.HasAltered) stream.Decode(answer, Range(part.Shard), step.Step);
        PassOn(answer, part.Shard, step);
    }

    private void PassOn(Tensor answer, Shard shard, StepKey step)
    {
        // Nobody writes a tensor that was sent, so all may share its memory.
        foreach (var transfer in _plan.Answers.Where(transfer => transfer.From == _self && transfer.Shard == shard))
            _links.Send(transfer.To.Replica, KeyOf(transfer, step), KeptMessages.Alias(answer));
    }

    private Span<float> Range(Shard shard) => _bucket.Values.Slice(shard.Start, shard.Length);

    /// <summary>
    /// The bucket stands where other frames name an edge, the sender instead of the micro-batch, the shard instead of the slice. The reducer
    /// counts as one replica more.
    /// </summary>
    private FrameKey KeyOf(Transfer transfer, StepKey step) => new(step, _bucket.Name, transfer.From.IsReplica ? transfer.From.Replica : _plan.ReplicaCount, transfer.Shard.Index, KindOf(transfer));

    private delegate ReadOnlySpan<float> Sums(int index);

    private FrameKind KindOf(Transfer transfer) => _plan.Answers.Contains(transfer) ? FrameKind.ReducedGradient : FrameKind.GradientContribution;
}
