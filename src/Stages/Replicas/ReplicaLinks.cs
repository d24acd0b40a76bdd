using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>The ways to the ranks of other replicas that hold the same units. Called by the compute thread only.</summary>
/// <param name="links">The ways out.</param>
/// <param name="inbox">Where inputs arrive.</param>
/// <param name="recorder">Counts the bytes.</param>
/// <param name="rankOf">The rank of a replica that holds the same units as this one.</param>
internal sealed class ReplicaLinks(IStageLinks links, StageInbox inbox, StepRecorder recorder, Func<int, int> rankOf)
{
    /// <summary>Sends a tensor to a replica; takes ownership.</summary>
    internal void Send(int replica, FrameKey key, torch.Tensor tensor)
    {
        recorder.Exchanged(tensor.numel() * tensor.element_size());
        links.Send(rankOf(replica), key, tensor, AlreadyDone.Instance);
    }

    /// <summary>A tensor, which the caller then owns, and when it had arrived.</summary>
    /// <param name="key">Which.</param>
    /// <param name="waits">Whether to wait for it; otherwise null says that it has not come.</param>
    internal (torch.Tensor Tensor, long Ready)? Take(FrameKey key, bool waits)
    {
        if ((waits ? inbox.TakeTensor(key) : inbox.TryTakeTensor(key)) is not { } arrived) return null;
        return (arrived.Value.Take(torch.CPU), arrived.Timestamp);
    }
}
