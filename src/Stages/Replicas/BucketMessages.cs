using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction.Topologies;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// What one participant sends of a bucket: contributions and answers, from where they lie if that is possible and otherwise as tensors of their own, under the names that the other end awaits
/// them by. It adds nothing up. Not thread-safe: under the lock of the bucket's reduction, but for <see cref="KeyOf"/>. Owns nothing.
/// </summary>
internal sealed class BucketMessages
{
    private readonly IGradientBucket _bucket;
    private readonly ReplicaLinks _links;
    private readonly SpanStreams _streams;
    private readonly BucketLoans _loans;
    private readonly Dictionary<int, Transfer> _awaited;
    private readonly ILookup<int, Transfer> _told;
    private readonly int _replicaCount;
    private readonly int _answerCount;
    private int _answeredCount;

    /// <param name="plan">Who sends what to whom.</param>
    /// <param name="self">Who this is.</param>
    /// <param name="bucket">The gradients.</param>
    /// <param name="links">The ways to the other replicas.</param>
    /// <param name="streams">Make tensors of spans.</param>
    /// <param name="loans">What is sent from where it lies.</param>
    internal BucketMessages(ReductionPlan plan, Participant self, IGradientBucket bucket, ReplicaLinks links, SpanStreams streams, BucketLoans loans)
    {
        (_bucket, _links, _streams, _loans, _replicaCount) = (bucket, links, streams, loans, plan.ReplicaCount);
        _awaited = plan.Answers.Where(answer => answer.To == self).ToDictionary(answer => answer.Shard.Index);
        _told = plan.Answers.Where(answer => answer.From == self).ToLookup(answer => answer.Shard.Index);
        _answerCount = plan.Shards.Count(shard => shard.Owner == self && _told[shard.Index].Any());
    }

    /// <summary>A step begins.</summary>
    internal void Begin() => _answeredCount = 0;

    /// <summary>
    /// The bucket stands where other frames name an edge, the sender instead of the micro-batch, the shard instead of the slice. The reducer
    /// counts as one replica more.
    /// </summary>
    internal FrameKey KeyOf(Transfer transfer, FrameKind kind, StepKey step) => new(step, _bucket.Name, transfer.From.IsReplica ? transfer.From.Replica : _replicaCount, transfer.Shard.Index, kind);

    /// <summary>What comes back for a shard that others complete; null if nothing does.</summary>
    internal Transfer? AnswerTo(Shard shard) => _awaited.GetValueOrDefault(shard.Index);

    /// <summary>Whether others await the sum of a shard of this participant.</summary>
    internal bool Tells(Shard shard) => _told.Contains(shard.Index);

    /// <summary>Sends a contribution from its place in the bucket, if its answer is to come there; false where it was not sent.</summary>
    internal bool TryLend(Transfer contribution, StepKey step) =>
        AnswerTo(contribution.Shard) is { } answer && _streams.Of(contribution).IsPlainAt(step.Step) && !HasCome(answer, step)
        && _loans.TryContribute(contribution, KeyOf(contribution, FrameKind.GradientContribution, step));

    /// <summary>Sends a contribution, the sums one behind the other, as a tensor of its own.</summary>
    internal void Contribute(Transfer contribution, StepKey step, SpanStream.Filler fill) =>
        _links.Send(contribution.To.Replica, KeyOf(contribution, FrameKind.GradientContribution, step), _streams.Of(contribution).Encode(step.Step, fill));

    /// <summary>Sends a contribution of one sum as a tensor of its own.</summary>
    internal void Contribute(Transfer contribution, StepKey step, ReadOnlySpan<float> sum) =>
        _links.Send(contribution.To.Replica, KeyOf(contribution, FrameKind.GradientContribution, step), _streams.Of(contribution).Encode(step.Step, sum));

    /// <summary>The sum of a shard stands in the bucket: tells it to who awaits it.</summary>
    internal void Answer(Shard shard, StepKey step)
    {
        if (!Tells(shard)) return;
        _answeredCount++;
        var stream = _streams.Answer(shard);
        // What several await is one copy for all of them.
        if (stream.IsPlainAt(step.Step) && _told[shard.Index].ToArray() is [var told] && TryLendAnswer(told, step)) return;
        using var answer = stream.Encode(step.Step, Range(shard));
        // The owner goes on with what the others get, not with what it knows better.
        if (stream.HasAltered) stream.Decode(answer, Range(shard), step.Step);
        PassOn(answer, shard, step);
    }

    /// <summary>Tells a sum that another completed to who awaits it of this participant; the tensor stays the caller's.</summary>
    internal void PassOn(Tensor answer, Shard shard, StepKey step)
    {
        // Nobody writes a tensor that was sent, so all may share its memory.
        foreach (var transfer in _told[shard.Index]) _links.Send(transfer.To.Replica, KeyOf(transfer, FrameKind.ReducedGradient, step), KeptMessages.Alias(answer));
    }

    /// <summary>
    /// Whether a shard's answer is there before its contribution is: one of a former life of this rank. It proves nothing of what is sent now, which a receiver that was replaced meanwhile may
    /// lack, and may have to be sent again when the answer has taken its place.
    /// </summary>
    private bool HasCome(Transfer answer, StepKey step) => _links.HasCome(KeyOf(answer, FrameKind.ReducedGradient, step));

    private bool TryLendAnswer(Transfer answer, StepKey step) => _loans.TryAnswer(
        answer, KeyOf(answer, FrameKind.ReducedGradient, step), KeyOf(answer with { From = answer.To }, FrameKind.GradientContribution, step), isLast: _answeredCount == _answerCount);

    private Span<float> Range(Shard shard) => _bucket.Values.Slice(shard.Start, shard.Length);
}
