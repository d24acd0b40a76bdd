using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// The ways to the ranks of other replicas that hold the same units: what travels names a unit. Called by the compute thread, and, to answer what they have worked on, by threads of links.
/// </summary>
/// <param name="links">The ways out.</param>
/// <param name="inbox">Where inputs arrive.</param>
/// <param name="recorder">Counts the bytes.</param>
/// <param name="rankOf">The rank of a replica that holds a unit; the replica comes first.</param>
internal sealed class ReplicaLinks(IStageLinks links, StageInbox inbox, StepRecorder recorder, Func<int, int, int> rankOf)
{
    /// <summary>Sends a tensor to the rank of a replica that holds the unit which the key names; takes ownership.</summary>
    internal void Send(int replica, FrameKey key, torch.Tensor tensor)
    {
        recorder.Exchanged(tensor.numel() * tensor.element_size());
        links.Send(rankOf(replica, key.Edge), key, tensor, AlreadyDone.Instance);
    }

    /// <summary>Sends memory from where it lies, as <see cref="IStageLinks.Lend"/>.</summary>
    internal TensorLoan? Lend(int replica, FrameKey key, torch.Tensor view, bool isAwaited)
    {
        var byteCount = view.numel() * view.element_size();
        var loan = links.Lend(rankOf(replica, key.Edge), key, view, isAwaited);
        if (loan is not null) recorder.Exchanged(byteCount);
        return loan;
    }

    /// <summary>Waits until memory that was lent is no longer read.</summary>
    /// <param name="loan">The loan.</param>
    /// <param name="key">Names the receiver in reports, as the sender of this.</param>
    internal void AwaitEnd(TensorLoan loan, FrameKey key) => inbox.AwaitEnd(loan, key);

    /// <inheritdoc cref="IStageLinks.Settle"/>
    internal void Settle(TensorLoan loan, torch.Tensor own) => links.Settle(loan, own);

    /// <summary>Has a tensor worked on as it comes, as <see cref="StageInbox.WorkOn"/>.</summary>
    internal void WorkOn(FrameKey key, Func<torch.Tensor, bool> work, Func<torch.Tensor?>? place) => inbox.WorkOn(key, received => work(received.Tensor), place);

    /// <inheritdoc cref="StageInbox.HasCome"/>
    internal bool HasCome(FrameKey key) => inbox.HasCome(key);

    /// <summary>A tensor that has come, or null.</summary>
    /// <param name="key">Which.</param>
    /// <param name="beforeWaiting">Called before it is waited for; null for not to wait: then null says that it has not come.</param>
    internal ReplicaArrival? Take(FrameKey key, Action? beforeWaiting)
    {
        var found = inbox.TryTakeTensor(key);
        if (found is null && beforeWaiting is not null)
        {
            beforeWaiting();
            found = inbox.TakeTensor(key);
        }

        return found is { } arrived ? new ReplicaArrival(arrived.Value.Take(torch.CPU), arrived.Timestamp) : null;
    }

    /// <summary>A tensor that has come, if it was not worked on as it came.</summary>
    /// <returns>The tensor, which the caller owns, and when it had come; without a tensor, when it was worked on; null where neither is so yet.</returns>
    internal (torch.Tensor? Tensor, long Ready)? TakeUnlessWorked(FrameKey key) =>
        inbox.TryTakeUnlessWorked(key) is { } arrived ? (arrived.Value?.Take(torch.CPU), arrived.Timestamp) : null;

    /// <inheritdoc cref="StageInbox.AwaitAny"/>
    internal void AwaitAny(IReadOnlyCollection<FrameKey> keys) => inbox.AwaitAny(keys);
}

/// <summary>A tensor that another replica has sent.</summary>
/// <param name="Tensor">Owned by whoever took it.</param>
/// <param name="Ready">When it had arrived.</param>
internal readonly record struct ReplicaArrival(torch.Tensor Tensor, long Ready);
