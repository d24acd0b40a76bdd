using System.IO.Hashing;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Links that read what they are lent, and let go of it, when a test says so. Keep what they send, as those of a run over several nodes.</summary>
internal sealed class LendingLinks(int self, StageInbox[] inboxes) : IStageLinks, IDisposable
{
    private readonly List<Lent> _lent = [];
    private readonly KeptMessages _kept = new(new KeptVolume(long.MaxValue));
    private readonly Lock _gate = new();
    private int _deliveredCount;

    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion) => throw new InvalidOperationException($"{key} was copied.");

    public TensorLoan? Lend(int rank, FrameKey key, torch.Tensor view, bool isAwaited)
    {
        var loan = new TensorLoan(inboxes[self].LoanEnded, _kept.AddLent(rank, key, view), isAwaited);
        _lent.Add(new Lent(rank, key, KeptMessages.Alias(view), loan, XxHash3.HashToUInt64(view.bytes)));
        return loan;
    }

    public void Settle(TensorLoan loan, torch.Tensor own)
    {
        lock (_gate) loan.Keep(own);
    }

    public void Send(int rank, NeighbourProtocol.INote note) => inboxes[rank].Post(note);

    public bool TakesCopies => false;

    public void Protect(StateCopy copy) => copy.Dispose();

    public void Report(StageProtocol.IEvent report)
    {
    }

    /// <summary>Whether the replica waits for something.</summary>
    internal bool Waits => inboxes[self].Awaited is not null;

    /// <summary>Whether the receiver is asked for its receipt, by frame.</summary>
    internal IReadOnlyList<(FrameKey Key, bool IsAwaited)> Awaited => [.. _lent.Select(lent => (lent.Key, lent.Loan.IsAwaited))];

    /// <summary>Everything that was lent since the last time arrives at the other end.</summary>
    internal void Deliver()
    {
        foreach (var (rank, key, view, _, _) in _lent.Skip(_deliveredCount)) inboxes[rank].Post(new FrameArrival(TensorBytes.ToFrame(key, view)));
        _deliveredCount = _lent.Count;
    }

    /// <summary>What was lent of a kind arrives somewhere else, too.</summary>
    internal void Deliver(FrameKind kind, StageInbox inbox)
    {
        foreach (var lent in _lent.Where(lent => lent.Key.Kind == kind)) inbox.Post(new FrameArrival(TensorBytes.ToFrame(lent.Key, lent.View)));
    }

    /// <summary>The memory that was lent of a kind.</summary>
    internal IReadOnlyList<(FrameKey Key, torch.Tensor View)> LentOf(FrameKind kind) => [.. _lent.Where(lent => lent.Key.Kind == kind).Select(lent => (lent.Key, lent.View))];

    /// <summary>What lay in the memory when it was lent, as a hash for each frame.</summary>
    internal IReadOnlyList<(FrameKey, ulong)> AsLent() => [.. _lent.Select(lent => (lent.Key, lent.Hash))];

    /// <summary>What lies there now.</summary>
    internal IReadOnlyList<(FrameKey, ulong)> Now() => [.. _lent.Select(lent => (lent.Key, XxHash3.HashToUInt64(lent.View.bytes)))];

    /// <summary>The links have sent everything.</summary>
    internal void Sent()
    {
        foreach (var lent in _lent) lent.Loan.Sent();
    }

    /// <summary>The links no longer read.</summary>
    internal void EndLoans()
    {
        foreach (var lent in _lent) lent.Loan.End();
    }

    /// <summary>What would be sent again, as a hash for each frame.</summary>
    internal IReadOnlyList<(FrameKey, ulong)> Kept() => KeptHashes.Of(_kept, 1 - self);

    public void Dispose()
    {
        foreach (var lent in _lent) lent.View.Dispose();
        _kept.Close();
    }

    private sealed record Lent(int Rank, FrameKey Key, torch.Tensor View, TensorLoan Loan, ulong Hash);
}

/// <summary>What a rank would be sent again.</summary>
internal static class KeptHashes
{
    /// <summary>A hash for each frame, in the order of sending.</summary>
    internal static IReadOnlyList<(FrameKey, ulong)> Of(KeptMessages kept, int rank)
    {
        List<(FrameKey, ulong)> hashes = [];
        foreach (var message in kept.Lacking(rank, 0))
        {
            var tensor = message is KeptLoan loan ? loan.Again()! : (KeptTensor)message;
            using (tensor.Tensor) hashes.Add((tensor.Key, XxHash3.HashToUInt64(tensor.Tensor.bytes)));
        }

        return hashes;
    }
}
