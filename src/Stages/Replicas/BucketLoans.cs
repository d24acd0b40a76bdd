using System.Runtime.InteropServices;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Stages;

/// <summary>
/// What a replica sends of a bucket from where it lies: contributions until the answers take their place, and answers until the step ends. What is kept of them for a loss gets memory of
/// its own while theirs is in a cache. Not thread-safe: under the lock of the bucket's reduction, but for <see cref="AwaitAnswers"/>.
/// </summary>
/// <param name="bucket">The memory; not owned.</param>
/// <param name="links">The ways to the other replicas.</param>
/// <param name="shortest">Fewest elements of a loan: fewer are copied sooner than a link says that it has read them.</param>
internal sealed class BucketLoans(IGradientBucket bucket, ReplicaLinks links, int shortest)
{
    private readonly Dictionary<int, TensorLoan> _contributions = [];
    private readonly List<(TensorLoan Loan, FrameKey Key)> _answers = [];

    /// <summary>Sends a contribution without a copy; false where it was not sent.</summary>
    internal bool TryContribute(Transfer transfer, FrameKey key)
    {
        if (transfer.Shard.Length < shortest || Lend(transfer, key, isAwaited: false) is not { } loan) return false;
        _contributions.Add(transfer.Shard.Index, loan);
        return true;
    }

    /// <summary>Sends a sum without a copy; false where it was not sent.</summary>
    /// <param name="transfer">The answer.</param>
    /// <param name="key">Names it.</param>
    /// <param name="from">Names something of its receiver, for reports of the wait.</param>
    /// <param name="isLast">Whether it is the bucket's last: the receipt for it, which is asked for, speaks for all before it.</param>
    internal bool TryAnswer(Transfer transfer, FrameKey key, FrameKey from, bool isLast)
    {
        if (transfer.Shard.Length < shortest && !(isLast && _answers.Count > 0)) return false;
        if (Lend(transfer, key, isLast) is not { } loan) return false;
        _answers.Add((loan, from));
        Keep(loan, transfer.Shard);
        return true;
    }

    /// <summary>
    /// The loan of a shard's contribution that a link may still read; null for none. Whoever has its answer knows that the receiver has what was sent, unless the answer was made in a former
    /// life of this rank: then there may be bytes that are yet to be sent.
    /// </summary>
    internal TensorLoan? Unsent(Shard shard) => _contributions.GetValueOrDefault(shard.Index) is { IsSent: false } loan ? loan : null;

    /// <summary>Whether no link will read the contribution of a shard again, whatever happens to its connection.</summary>
    internal bool IsOver(Shard shard) => _contributions.GetValueOrDefault(shard.Index) is not { IsOver: false };

    /// <summary>The memory of a shard is changed when this returns.</summary>
    internal void BeforeChange(Shard shard)
    {
        if (_contributions.Remove(shard.Index, out var loan)) Keep(loan, shard);
    }

    /// <summary>Waits until no link reads the sums any longer: they lie where the gradients do. On the compute thread, when nothing is answered any more.</summary>
    internal void AwaitAnswers()
    {
        foreach (var (loan, key) in _answers) links.AwaitEnd(loan, key);
        _answers.Clear();
    }

    private TensorLoan? Lend(Transfer transfer, FrameKey key, bool isAwaited)
    {
        if (bucket.ViewOf(transfer.Shard.Start, transfer.Shard.Length) is not { } view) return null;
        var loan = links.Lend(transfer.To.Replica, key, view, isAwaited);
        if (loan is null) view.Dispose();
        return loan;
    }

    /// <summary>Copies what is kept, if anything is, and has the copy kept instead. The links are locked for the exchange only: others send meanwhile.</summary>
    private void Keep(TensorLoan loan, Shard shard)
    {
        if (loan.Kept is not { } kept) return;
        var own = kept.NewPlace();
        SpanCopy.PastCaches(bucket.Values.Slice(shard.Start, shard.Length), MemoryMarshal.Cast<byte, float>(own.bytes));
        links.Settle(loan, own);
    }
}
