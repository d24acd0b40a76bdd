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
/// owns, and takes the others' from their owners. What comes over a link and is not compressed is worked on by the thread that brings it; all else
/// whenever the compute thread looks. Only <see cref="Reduce"/> and <see cref="Finish"/> wait. Afterwards all replicas hold the same bits. Owns its buffers. Called on the compute thread
/// only.
/// </summary>
internal sealed class BucketReduction : IBucketReduction
{
    private readonly Participant _self;
    private readonly IGradientBucket _bucket;
    private readonly ReplicaLinks _links;
    private readonly BucketMessages _messages;
    private readonly Dictionary<int, ShardReduction> _parts;
    private readonly SpanStreams _streams;
    private readonly TreeAccumulator? _leaves;
    private readonly IReadOnlyList<TreeNode> _own;
    private readonly Dictionary<int, Transfer> _direct;
    private readonly Transfer[] _contributions;
    private readonly Transfer[] _answers;
    // Guards the sums, the streams, what is sent of them and the loans, which threads of links use as well.
    private readonly Lock _gate = new();
    private readonly AwaitedTransfers _awaitedContributions;
    private readonly AwaitedTransfers _awaitedAnswers;
    private readonly BucketLoans _loans;
    private IReadOnlyList<TreePart> _sums = [];
    private bool _hasContributed;
    private bool _isDisposed;

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
        (_self, _bucket, _links, _loans) = (self, bucket, links, new BucketLoans(bucket, links, settings.ShortestLoan));
        _parts = plan.Shards.ToDictionary(shard => shard.Index, shard => new ShardReduction(plan, _self, shard));
        _streams = new SpanStreams(plan, _self, bucket, settings, residuals, seed);
        _messages = new BucketMessages(plan, _self, bucket, links, _streams, _loans);
        _own = plan.Own(_self);
        _direct = _parts.Values.Where(part => part.Outgoing is not null && plan.ContributionsTo(_self, part.Shard).Count == 0)
            .ToDictionary(part => part.Shard.Index, part => part.Outgoing!);
        // What is merely passed on comes first: an owner may wait for it.
        _contributions = [.. plan.Contributions.Where(transfer => transfer.To == _self).OrderBy(transfer => transfer.Shard.Owner == _self)];
        _answers = [.. plan.Answers.Where(answer => answer.To == _self)];
        _awaitedContributions = new AwaitedTransfers(links, (transfer, step) => _messages.KeyOf(transfer, FrameKind.GradientContribution, step), _ => true, _ => null, Guarded(Take));
        _awaitedAnswers = new AwaitedTransfers(links, (answer, step) => _messages.KeyOf(answer, FrameKind.ReducedGradient, step), HasRoom, Unsent, Guarded(TakeAnswer));
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
        _awaitedContributions.Begin(_contributions);
        _awaitedAnswers.Begin(_answers);
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
        _awaitedContributions.Proceed(step);
        _awaitedAnswers.Proceed(step);
    }

    /// <inheritdoc/>
    public long Reduce(StepKey step, Action beforeWaiting)
    {
        _awaitedContributions.Finish(step, beforeWaiting);
        return _awaitedContributions.Ready;
    }

    /// <inheritdoc/>
    public long Finish(StepKey step)
    {
        _awaitedAnswers.Finish(step, () => { });
        _loans.AwaitAnswers();
        FreeSums();
        _bucket.Scatter();
        _hasContributed = false;
        return Math.Max(_awaitedContributions.Ready, _awaitedAnswers.Ready);
    }

    /// <summary>Most bytes that sums under way have taken: of its own leaves, and of what came from others.</summary>
    internal long PeakSumBytes => (_leaves?.PeakByteCount ?? 0) + _parts.Values.Sum(part => part.PeakByteCount);

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            foreach (var part in _parts.Values) part.Dispose();
            _streams.Dispose();
            FreeSums();
            _leaves?.Dispose();
            _bucket.Dispose();
        }
    }

    /// <summary>The sums of leaves are in those of all.</summary>
    private void FreeSums()
    {
        foreach (var sum in _sums) sum.Dispose();
        _sums = [];
    }

    /// <summary>
    /// Adds the replica's own sums, sends those that nobody adds to here from where they lie, and has links work on what comes of the others: on contributions once its own are in the sum,
    /// on each answer once its own has left the place that this takes.
    /// </summary>
    private void Contribute(IReadOnlyList<TreeNode> nodes, Sums sums, StepKey step)
    {
        lock (_gate)
        {
            _messages.Begin();
            foreach (var part in _parts.Values.Where(part => !_direct.ContainsKey(part.Shard.Index))) AddOwn(part, nodes, sums, step);
        }

        // What compression keeps is the compute thread's.
        var isPlain = _streams.ArePlainAt(step.Step);
        foreach (var transfer in _contributions.Where(_ => isPlain)) WorkOn(transfer, FrameKind.GradientContribution, step, Take, place: null);
        foreach (var transfer in _direct.Values)
        {
            lock (_gate) Contribute(transfer, nodes, sums, step);
            if (isPlain && _messages.AnswerTo(transfer.Shard) is { } answer) WorkOn(answer, FrameKind.ReducedGradient, step, TakeAnswer, () => PlaceOf(answer));
        }
    }

    private void Contribute(Transfer transfer, IReadOnlyList<TreeNode> nodes, Sums sums, StepKey step)
    {
        var shard = transfer.Shard;
        // Sums of leaves lie in memory that is used again.
        if (_leaves is null && _messages.TryLend(transfer, step)) return;
        if (nodes.Count == 1) _messages.Contribute(transfer, step, OfShard(0));
        else _messages.Contribute(transfer, step, joined =>
        {
            for (var index = 0; index < nodes.Count; index++) OfShard(index).CopyTo(joined[(index * shard.Length)..]);
        });

        ReadOnlySpan<float> OfShard(int index) => sums(index).Slice(shard.Start, shard.Length);
    }

    /// <summary>Has what comes of a transfer worked on by who brings it.</summary>
    private void WorkOn(Transfer transfer, FrameKind kind, StepKey step, Action<Transfer, Tensor, StepKey> take, Func<Tensor?>? place) => _links.WorkOn(_messages.KeyOf(transfer, kind, step), tensor =>
    {
        lock (_gate)
        {
            var stream = kind == FrameKind.ReducedGradient ? _streams.Answer(transfer.Shard) : _streams.Of(transfer);
            if (_isDisposed || !stream.IsPlain(tensor, step.Step) || (kind == FrameKind.ReducedGradient && !IsFree(transfer.Shard))) return false;
            take(transfer, tensor, step);
            return true;
        }
    }, place);

    /// <summary>
    /// Where an answer may be received before it is known to be whole: only once nobody reads what lies there, not even to send it again, and where nobody is sent it from there.
    /// </summary>
    private Tensor? PlaceOf(Transfer answer)
    {
        lock (_gate)
        {
            if (_isDisposed || _messages.Tells(answer.Shard) || !_loans.IsOver(answer.Shard) || !IsFree(answer.Shard)) return null;
            _loans.BeforeChange(answer.Shard);
            return _bucket.ViewOf(answer.Shard.Start, answer.Shard.Length);
        }
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
        _messages.Answer(part.Shard, step);
    }

    private void Take(Transfer transfer, Tensor tensor, StepKey step)
    {
        var part = _parts[transfer.Shard.Index];
        _streams.Of(transfer).Read(tensor, step.Step, sums =>
        {
            if (part.AwaitsOne && part.Shard.Owner == _self) Complete(part, transfer.Nodes[0], sums, step);
            else Add(part, transfer, sums, step);
        });
    }

    private void Add(ShardReduction part, Transfer transfer, ReadOnlySpan<float> sums, StepKey step)
    {
        for (var index = 0; index < transfer.Nodes.Count; index++)
            part.Add(transfer.Nodes[index], sums.Slice(index * transfer.Shard.Length, transfer.Shard.Length));
        Advance(part, step);
    }

    /// <summary>A sum takes its place, where the replica's own contribution was.</summary>
    private void TakeAnswer(Transfer answer, Tensor tensor, StepKey step)
    {
        _loans.BeforeChange(answer.Shard);
        _streams.Answer(answer.Shard).Decode(tensor, Range(answer.Shard), step.Step);
        _messages.PassOn(tensor, answer.Shard, step);
    }

    /// <summary>
    /// Whether nobody will read what lies in the place of a sum: no link, and not this participant for a sum that it is to pass on, to which the others' parts are still to come. Of such a
    /// sum an answer can be there already if it is one of a former life.
    /// </summary>
    private bool IsFree(Shard shard) => _loans.Unsent(shard) is null && !_parts[shard.Index].HasLent;

    private bool HasRoom(Transfer answer)
    {
        lock (_gate) return IsFree(answer.Shard);
    }

    /// <summary>What a link may still read of the place of an answer.</summary>
    private TensorLoan? Unsent(Transfer answer)
    {
        lock (_gate) return _loans.Unsent(answer.Shard);
    }

    private Action<Transfer, Tensor, StepKey> Guarded(Action<Transfer, Tensor, StepKey> take) => (transfer, tensor, step) =>
    {
        lock (_gate) take(transfer, tensor, step);
    };

    /// <summary>Passes a shard's sums on, or answers for it, once all that is awaited has come.</summary>
    private void Advance(ShardReduction part, StepKey step)
    {
        if (!part.IsReady) return;
        if (part.Shard.Owner == _self)
        {
            part.TakeSum(Range(part.Shard));
            _messages.Answer(part.Shard, step);
        }
        else if (part.Outgoing is { } transfer) Contribute(part, transfer, step);
    }

    private void Contribute(ShardReduction part, Transfer transfer, StepKey step)
    {
        var sums = part.TakeOutgoing();
        _messages.Contribute(transfer, step, joined =>
        {
            for (var index = 0; index < sums.Count; index++)
            {
                using var sum = sums[index];
                sum.Sum.Span.CopyTo(joined[(index * transfer.Shard.Length)..]);
            }
        });
    }

    private Span<float> Range(Shard shard) => _bucket.Values.Slice(shard.Start, shard.Length);

    private delegate ReadOnlySpan<float> Sums(int index);
}
