using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>The ways to the ranks of other replicas that hold the same units: what travels names a unit. Called by the compute thread only.</summary>
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

    /// <summary>A tensor, which the caller then owns, and when it had arrived.</summary>
    /// <param name="key">Which.</param>
    /// <param name="beforeWaiting">Called before it is waited for; null for not to wait: then null says that it has not come.</param>
    internal (torch.Tensor Tensor, long Ready)? Take(FrameKey key, Action? beforeWaiting)
    {
        var found = inbox.TryTakeTensor(key);
        if (found is null && beforeWaiting is not null)
        {
            beforeWaiting();
            found = inbox.TakeTensor(key);
        }

        return found is { } arrived ? (arrived.Value.Take(torch.CPU), arrived.Timestamp) : null;
    }
}
