using System.Runtime.InteropServices;
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
    private readonly ILookup<int, Transfer> _told;
    private readonly HashSet<(int Start, int Length)> _exchanged;
    private readonly Dictionary<int, TensorLoan> _loans = [];
    private readonly List<Transfer> _awaitedContributions = [];
    private readonly List<Transfer> _awaitedAnswers = [];
    private readonly int _shortestLoan;
    private IReadOnlyList<TreePart> _sums = [];
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
        (_links, _shortestLoan) = (links, settings.ShortestLoan);
        _parts = plan.Shards.ToDictionary(shard => shard.Index, shard => new ShardReduction(plan, _self, shard));
        _streams = new SpanStreams(plan, _self, bucket, settings, residuals, seed);
        _own = plan.Own(_self);
        _direct = _parts.Values.Where(part => part.Outgoing is not null && plan.ContributionsTo(_self, part.Shard).Count == 0)
            .ToDictionary(part => part.Shard.Index, part => part.Outgoing!);
        // What is merely passed on comes first: an owner may wait for it.
        _contributions = [.. plan.Contributions.Where(transfer => transfer.To == _self).OrderBy(transfer => transfer.Shard.Owner == _self)];
        _answers = [.. plan.Answers.Where(answer => answer.To == _self)];
        _told = plan.Answers.Where(answer => answer.From == _self).ToLookup(answer => answer.Shard.Index);
        _exchanged = [.. plan.Shards.Where(shard => shard.Owner == _self && plan.ContributionsTo(_self, shard) is [{ Nodes.Count: 1 }]).Select(shard => (shard.Start, shard.Length))];
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

        _sums = _leaves.TakeParts();
        Contribute([.. _sums.Select(sum => sum.Node)], index => _sums[index].Sum.Span, step);
    }

    /// <inheritdoc/>
    public void Proceed(StepKey step)
    {
        if (!_hasContributed) return;
        TakeContributions(step, null);
        TakeAnswers(step, null);
    }

    /// <inheritdoc/>
    public long Reduce(StepKey step, Action beforeWaiting)
    {
        TakeContributions(step, beforeWaiting);
        return _ready;
    }

    /// <inheritdoc/>
    public long Finish(StepKey step)
    {
        TakeAnswers(step, () => { });
        FreeSums();
        _bucket.Scatter();
        _hasContributed = false;
        return _ready;
    }

    /// <summary>Most bytes that sums under way have taken: of its own leaves, and of what came from others.</summary>
    internal long PeakSumBytes => (_leaves?.PeakByteCount ?? 0) + _parts.Values.Sum(part => part.PeakByteCount);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var part in _parts.Values) part.Dispose();
        _streams.Dispose();
        FreeSums();
        _leaves?.Dispose();
        _bucket.Dispose();
    }

    /// <summary>The sums of leaves are in those of all.</summary>
    private void FreeSums()
    {
        foreach (var sum in _sums) sum.Dispose();
        _sums = [];
    }

    /// <summary>Sends or adds the replica's own sums. What nobody adds to here goes from where it lies.</summary>
    private void Contribute(IReadOnlyList<TreeNode> nodes, Sums sums, StepKey step)
    {
        foreach (var transfer in _direct.Values)
        {
            if (_leaves is null && TryLend(transfer, step)) continue;
            var shard = transfer.Shard;
            Send(transfer, step, joined =>
            {
                for (var index = 0; index < nodes.Count; index++) sums(index).Slice(shard.Start, shard.Length).CopyTo(joined[(index * shard.Length)..]);
            });
        }

        foreach (var part in _parts.Values.Where(part => !_direct.ContainsKey(part.Shard.Index))) AddOwn(part, nodes, sums, step);
    }

    /// <summary>
    /// Sends a range of the bucket without a copy, where the sum of the same range is completed here as well and takes its place: by then the other end has it, so that
    /// nobody waits for long. Small ones are copied sooner than a receipt comes.
    /// </summary>
    private bool TryLend(Transfer transfer, StepKey step)
    {
        var (start, length) = (transfer.Shard.Start, transfer.Shard.Length);
        if (length < _shortestLoan || !_exchanged.Contains((start, length)) || !_streams.Of(transfer).IsPlainAt(step.Step)) return false;
        if (_bucket.ViewOf(start, length) is not { } view) return false;
        if (_links.Lend(transfer.To.Replica, KeyOf(transfer, FrameKind.GradientContribution, step), view) is not { } loan)
        {
            view.Dispose();
            return false;
        }

        _loans.Add(start, loan);
        return true;
    }

    private void AddOwn(ShardReduction part, IReadOnlyList<TreeNode> nodes, Sums sums, StepKey step)
    {
        for (var index = 0; index < nodes.Count; index++)
        {
            var own = sums(index).Slice(part.Shard.Start, part.Shard.Length);
            if (part.AwaitsOne && part.Shard.Owner == _self)
            {
                // There is nobody else.
                Complete(part, nodes[index], own, step);
                return;
            }

            // The bucket stays as it is until its sums take its place, sums of leaves until these are there.
            part.AddLent(nodes[index], own);
        }

        Advance(part, step);
    }

    /// <summary>The owner's last sum has come: one pass makes the sum of all, in its place.</summary>
    private void Complete(ShardReduction part, TreeNode last, ReadOnlySpan<float> values, StepKey step)
    {
        part.TakeSum(last, values, Range(part.Shard));
        Answer(part.Shard, step);
    }

    /// <summary>
    /// As <see cref="Complete"/>, where what was sent lies in the sum's place: what is kept of it for a loss goes to the memory of what has come, in the same pass.
    /// </summary>
    private void Exchange(ShardReduction part, Transfer transfer, ReplicaArrival arrival, TensorLoan loan, StepKey step) => _streams.Of(transfer).Read(arrival.Tensor, step.Step, sums =>
    {
        if (loan.Kept is null)
        {
            Complete(part, transfer.Nodes[0], sums, step);
            return;
        }

        var own = arrival.IsShared ? KeptMessages.CopyOf(arrival.Tensor) : KeptMessages.Alias(arrival.Tensor);
        using (_links.Settle(loan, own)) part.ExchangeSum(transfer.Nodes[0], sums, Range(part.Shard), MemoryMarshal.Cast<byte, float>(own.bytes));
        Answer(part.Shard, step);
    });

    private void TakeContributions(StepKey step, Action? beforeWaiting) => Take(_awaitedContributions, FrameKind.GradientContribution, step, beforeWaiting, (transfer, arrival) =>
    {
        var part = _parts[transfer.Shard.Index];
        if (_loans.Remove(transfer.Shard.Start, out var loan))
        {
            Exchange(part, transfer, arrival, loan, step);
            return;
        }

        _streams.Of(transfer).Read(arrival.Tensor, step.Step, sums =>
        {
            if (part.AwaitsOne && part.Shard.Owner == _self) Complete(part, transfer.Nodes[0], sums, step);
            else Add(part, transfer, sums, step);
        });
    });

    private void Add(ShardReduction part, Transfer transfer, ReadOnlySpan<float> sums, StepKey step)
    {
        for (var index = 0; index < transfer.Nodes.Count; index++)
            part.Add(transfer.Nodes[index], sums.Slice(index * transfer.Shard.Length, transfer.Shard.Length));
        Advance(part, step);
    }

    private void TakeAnswers(StepKey step, Action? beforeWaiting) => Take(_awaitedAnswers, FrameKind.ReducedGradient, step, beforeWaiting, (answer, arrival) =>
    {
        var sum = Range(answer.Shard);
        _streams.Answer(answer.Shard).Decode(arrival.Tensor, sum, step.Step);
        PassOn(arrival.Tensor, answer.Shard, step);
    });

    private void Take(List<Transfer> awaited, FrameKind kind, StepKey step, Action? beforeWaiting, Action<Transfer, ReplicaArrival> take)
    {
        for (var index = 0; index < awaited.Count;)
        {
            var (transfer, key) = (awaited[index], KeyOf(awaited[index], kind, step));
            var loan = _loans.GetValueOrDefault(transfer.Shard.Start);
            var isWaitedFor = beforeWaiting is not null;
            if ((!isWaitedFor && loan is { IsOver: false }) || _links.Take(key, beforeWaiting) is not { } arrival)
            {
                index++;
                continue;
            }

            awaited.RemoveAt(index);
            using (arrival.Tensor)
            {
                if (loan is { IsOver: false }) _links.AwaitEnd(loan, key);
                take(transfer, arrival);
            }

            _ready = Math.Max(_ready, arrival.Ready);
        }
    }

    /// <summary>Passes a shard's sums on, or answers for it, once all that is awaited has come.</summary>
    private void Advance(ShardReduction part, StepKey step)
    {
        if (!part.IsReady) return;
        if (part.Shard.Owner == _self)
        {
            part.TakeSum(Range(part.Shard));
            Answer(part.Shard, step);
        }
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
        _links.Send(transfer.To.Replica, KeyOf(transfer, FrameKind.GradientContribution, step), _streams.Of(transfer).Encode(step.Step, fill));

    /// <summary>The sum stands in the bucket: tells it to who awaits it.</summary>
    private void Answer(Shard shard, StepKey step)
    {
        if (!_told.Contains(shard.Index)) return;
        var stream = _streams.Answer(shard);
        using var answer = stream.Encode(step.Step, values => Range(shard).CopyTo(values));
        // The owner goes on with what the others get, not with what it knows better.
        if (stream.HasAltered) stream.Decode(answer, Range(shard), step.Step);
        PassOn(answer, shard, step);
    }

    private void PassOn(Tensor answer, Shard shard, StepKey step)
    {
        // Nobody writes a tensor that was sent, so all may share its memory.
        foreach (var transfer in _told[shard.Index]) _links.Send(transfer.To.Replica, KeyOf(transfer, FrameKind.ReducedGradient, step), KeptMessages.Alias(answer));
    }

    private Span<float> Range(Shard shard) => _bucket.Values.Slice(shard.Start, shard.Length);

    /// <summary>
    /// The bucket stands where other frames name an edge, the sender instead of the micro-batch, the shard instead of the slice. The reducer
    /// counts as one replica more.
    /// </summary>
    private FrameKey KeyOf(Transfer transfer, FrameKind kind, StepKey step) => new(step, _bucket.Name, transfer.From.IsReplica ? transfer.From.Replica : _plan.ReplicaCount, transfer.Shard.Index, kind);

    private delegate ReadOnlySpan<float> Sums(int index);
}
