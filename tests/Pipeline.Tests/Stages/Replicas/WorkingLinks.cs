using System.Collections.Concurrent;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Links whose threads bring what was sent, in any order, and work on it where that is asked for. Lend, and keep nothing.</summary>
internal sealed class WorkingLinks(int self, StageInbox[] inboxes) : IStageLinks
{
    private readonly ConcurrentBag<Task> _bringing = [];
    private int _workedCount;

    /// <summary>Inputs of others that were worked on as they came.</summary>
    internal int WorkedCount => Volatile.Read(ref _workedCount);

    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion) => _bringing.Add(Task.Run(() =>
    {
        using (tensor) Bring(rank, key, tensor);
    }));

    public TensorLoan? Lend(int rank, FrameKey key, torch.Tensor view, bool isAwaited)
    {
        var loan = new TensorLoan(inboxes[self].LoanEnded, null, isAwaited);
        _bringing.Add(Task.Run(() =>
        {
            using var read = KeptMessages.CopyOf(view);
            view.Dispose();
            loan.Sent();
            Bring(rank, key, read);
            loan.End();
        }));
        return loan;
    }

    public void Send(int rank, NeighbourProtocol.INote note) => inboxes[rank].Post(note);

    public bool TakesCopies => false;

    public void Protect(StateCopy copy) => copy.Dispose();

    public void Report(StageProtocol.IEvent report)
    {
    }

    /// <summary>Throws what a thread has thrown.</summary>
    internal void Finish() => Task.WaitAll([.. _bringing]);

    private void Bring(int rank, FrameKey key, torch.Tensor tensor)
    {
        var received = new ReceivedTensor(new TensorReceived(key, KeptMessages.CopyOf(tensor)));
        if (inboxes[rank].TryWork(received)) Interlocked.Increment(ref _workedCount);
        else inboxes[rank].Post(received);
    }
}
