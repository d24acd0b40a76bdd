using System.IO.Hashing;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Links that read what they are lent, and let go of it, when a test says so. Keep what they send, as those of a run over several nodes.</summary>
internal sealed class LendingLinks(int self, StageInbox[] inboxes) : IStageLinks, IDisposable
{
    private readonly List<(int Rank, FrameKey Key, torch.Tensor View, TensorLoan Loan)> _lent = [];
    private readonly KeptMessages _kept = new(new KeptVolume(long.MaxValue));
    private readonly Lock _gate = new();

    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion) => throw new InvalidOperationException($"{key} was copied.");

    public TensorLoan? Lend(int rank, FrameKey key, torch.Tensor view)
    {
        var loan = new TensorLoan(inboxes[self].LoanEnded, _kept.AddLent(rank, key, view));
        _lent.Add((rank, key, KeptMessages.Alias(view), loan));
        return loan;
    }

    public IDisposable Settle(TensorLoan loan, torch.Tensor own) => new LoanSettlement(_gate, loan, own);

    public void Send(int rank, NeighbourProtocol.INote note) => inboxes[rank].Post(note);

    public bool TakesCopies => false;

    public void Protect(StateCopy copy) => copy.Dispose();

    public void Report(StageProtocol.IEvent report)
    {
    }

    /// <summary>Everything that was lent arrives at the other end.</summary>
    internal void Deliver()
    {
        foreach (var (rank, key, view, _) in _lent) inboxes[rank].Post(new FrameArrival(TensorBytes.ToFrame(key, view)));
    }

    /// <summary>What lies now in the memory that was lent, as a hash for each frame.</summary>
    internal IReadOnlyList<(FrameKey, ulong)> Read() => [.. _lent.Select(lent => (lent.Key, XxHash3.HashToUInt64(lent.View.bytes)))];

    /// <summary>The links no longer read.</summary>
    internal void EndLoans()
    {
        foreach (var (_, _, _, loan) in _lent) loan.End();
    }

    /// <summary>What would be sent again, as a hash for each frame.</summary>
    internal IReadOnlyList<(FrameKey, ulong)> Kept() => KeptHashes.Of(_kept, 1 - self);

    public void Dispose()
    {
        foreach (var (_, _, view, _) in _lent) view.Dispose();
        _kept.Close();
    }
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
