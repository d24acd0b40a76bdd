using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// One replica's part in the reduction of one bucket: it sends its sums as soon as the gradients are final, completes the shards that it
/// owns, and takes the others' from their owners. Afterwards all replicas hold the same bits. Owns its buffers. On the compute thread only.
/// </summary>
internal sealed class BucketReduction : IDisposable
{
    private readonly ReductionPlan _plan;
    private readonly Participant _self;
    private readonly GradientBucket _bucket;
    private readonly ReplicaLinks _links;
    private readonly Dictionary<int, ShardReduction> _parts;
    private readonly Dictionary<Transfer, SpanStream> _contributions;
    private readonly Dictionary<int, SpanStream> _answers;
    private readonly TreeAccumulator? _leaves;

    /// <param name="plan">Who sends what to whom.</param>
    /// <param name="place">Which replica this is.</param>
    /// <param name="bucket">The gradients. Owned from now on.</param>
    /// <param name="settings">Compression.</param>
    /// <param name="links">The ways to the other replicas.</param>
    /// <param name="residuals">Where what compression loses is kept.</param>
    /// <param name="seed">The run's seed.</param>
    internal BucketReduction(
        ReductionPlan plan, ReplicaPlace place, GradientBucket bucket, ReductionSettings settings, ReplicaLinks links, ResidualStore residuals, ulong seed)
    {
        _plan = plan;
        _self = new Participant(place.Index);
        _bucket = bucket;
        _links = links;
        _parts = plan.Shards.ToDictionary(shard => shard.Index, shard => new ShardReduction(plan, _self, shard));
        _contributions = plan.Contributions.Where(transfer => transfer.From == _self || transfer.To == _self).ToDictionary(
            transfer => transfer,
            transfer => Stream(
                settings.Contributions, transfer.Shard, transfer.Nodes.Count, FormattableString.Invariant($"from-{transfer.From.Replica}"), seed, transfer.From == _self ? residuals : null));
        _answers = plan.Shards.ToDictionary(shard => shard.Index, shard => Stream(settings.Answers, shard, 1, "answer", seed, shard.Owner == _self ? residuals : null));
        if (place.Summation == Summation.Invariant) _leaves = new TreeAccumulator(plan.Tree, plan.Length);
    }

    /// <summary>Takes the gradient of one micro-batch out of the units, where each micro-batch is a leaf of its own.</summary>
    /// <param name="leaf">Its index in the step.</param>
    internal void AddLeaf(int leaf)
    {
        if (_leaves is null) return;
        _bucket.Gather();
        _bucket.Clear();
        _leaves.Add(leaf, _bucket.Values);
    }

    /// <summary>The gradients are final: sends what others await of this replica.</summary>
    internal void Contribute(StepKey step)
    {
        if (_leaves is null)
        {
            _bucket.Gather();
            foreach (var node in _plan.Own(_self)) AddOwn(node, _bucket.Values);
        }
        else
        {
            foreach (var part in _leaves.TakeParts())
            {
                using (part) AddOwn(part.Node, part.Sum.Span);
            }
        }

        foreach (var part in _parts.Values) PassOn(part, step);
    }

    /// <summary>Takes what others contribute, passes on what is complete, and answers for the shards that it owns.</summary>
    /// <returns>When the last input had arrived; 0 without any.</returns>
    internal long Reduce(StepKey step)
    {
        var ready = 0L;
        // What it merely passes on first: an owner may wait for it.
        foreach (var part in _parts.Values.OrderBy(part => part.Shard.Owner == _self))
        {
            var awaited = _plan.ContributionsTo(_self, part.Shard);
            foreach (var transfer in awaited) ready = Math.Max(ready, Take(transfer, step, part.Add));
            if (awaited.Count > 0) PassOn(part, step);
            if (part.Shard.Owner == _self) Answer(part, step);
        }

        return ready;
    }

    /// <summary>Takes the sums of the others' shards, and leaves the sum of all replicas in the units' gradients.</summary>
    /// <returns>When the last input had arrived; 0 without any.</returns>
    internal long Finish(StepKey step)
    {
        var ready = 0L;
        foreach (var answer in _plan.Answers.Where(answer => answer.To == _self))
        {
            var (tensor, arrival) = _links.Take(KeyOf(answer, step));
            using var owned = tensor;
            _answers[answer.Shard.Index].Decode(tensor, Range(answer.Shard), step.Step);
            PassOn(tensor, answer.Shard, step);
            ready = Math.Max(ready, arrival);
        }

        _bucket.Scatter();
        return ready;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var part in _parts.Values) part.Dispose();
        foreach (var stream in _contributions.Values.Concat(_answers.Values)) stream.Dispose();
        _leaves?.Dispose();
        _bucket.Dispose();
    }

    private void AddOwn(TreeNode node, ReadOnlySpan<float> values)
    {
        foreach (var part in _parts.Values) part.Add(node, values.Slice(part.Shard.Start, part.Shard.Length));
    }

    private void PassOn(ShardReduction part, StepKey step)
    {
        if (part.Outgoing is not { } transfer || !part.IsReady) return;
        var sums = part.TakeOutgoing();
        // The bucket's span is free by now: the sums lie one behind the other in a tensor of their own.
        using var joined = new FloatBuffer(checked((int)transfer.ElementCount));
        for (var index = 0; index < sums.Count; index++)
        {
            using var sum = sums[index];
            sum.Sum.Span.CopyTo(joined.Span[(index * transfer.Shard.Length)..]);
        }

        _links.Send(transfer.To.Replica, KeyOf(transfer, step), _contributions[transfer].Encode(joined.Span, step.Step));
    }

    private void Answer(ShardReduction part, StepKey step)
    {
        var sum = Range(part.Shard);
        var stream = _answers[part.Shard.Index];
        part.TakeSum(sum);
        using var answer = stream.Encode(sum, step.Step);
        // The owner goes on with what the others get, not with what it knows better.
        stream.Decode(answer, sum, step.Step);
        PassOn(answer, part.Shard, step);
    }

    private void PassOn(Tensor answer, Shard shard, StepKey step)
    {
        using var guard = no_grad();
        foreach (var transfer in _plan.Answers.Where(transfer => transfer.From == _self && transfer.Shard == shard))
            _links.Send(transfer.To.Replica, KeyOf(transfer, step), answer.clone().DetachFromDisposeScope());
    }

    private Span<float> Range(Shard shard) => _bucket.Values.Slice(shard.Start, shard.Length);

    private long Take(Transfer transfer, StepKey step, NodeReader read)
    {
        var (tensor, ready) = _links.Take(KeyOf(transfer, step));
        using var owned = tensor;
        using var values = new FloatBuffer(checked((int)transfer.ElementCount));
        _contributions[transfer].Decode(tensor, values.Span, step.Step);
        for (var index = 0; index < transfer.Nodes.Count; index++)
            read(transfer.Nodes[index], values.Span.Slice(index * transfer.Shard.Length, transfer.Shard.Length));
        return ready;
    }

    /// <summary>The bucket stands where other frames name an edge, the sender instead of the micro-batch, the shard instead of the slice.</summary>
    private FrameKey KeyOf(Transfer transfer, StepKey step) => new(step, _bucket.Name, transfer.From.Replica, transfer.Shard.Index, KindOf(transfer));

    private FrameKind KindOf(Transfer transfer) => _plan.Answers.Contains(transfer) ? FrameKind.ReducedGradient : FrameKind.GradientContribution;

    private SpanStream Stream(CompressionSettings settings, Shard shard, int nodeCount, string name, ulong seed, ResidualStore? residuals)
    {
        var matrices = _bucket.MatricesIn(shard.Start, shard.Length);
        IReadOnlyList<MatrixRange> all =
            [.. Enumerable.Range(0, nodeCount).SelectMany(node => matrices.Select(matrix => matrix with { Start = matrix.Start + node * shard.Length }))];
        var transfer = FormattableString.Invariant($"unit-{_bucket.Name}.shard-{shard.Index}.{name}");
        return new SpanStream(settings, checked(nodeCount * shard.Length), all, transfer, seed, residuals);
    }

    private delegate void NodeReader(TreeNode node, ReadOnlySpan<float> values);
}
