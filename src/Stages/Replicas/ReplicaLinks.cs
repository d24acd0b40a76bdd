using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>The ways to the ranks of other replicas that hold the same units. Called by the compute thread only.</summary>
/// <param name="links">The ways out.</param>
/// <param name="inbox">Where inputs arrive.</param>
/// <param name="rankOf">The rank of a replica that holds the same units as this one.</param>
internal sealed class ReplicaLinks(IStageLinks links, StageInbox inbox, Func<int, int> rankOf)
{
    /// <summary>Sends a tensor to a replica; takes ownership.</summary>
    internal void Send(int replica, FrameKey key, torch.Tensor tensor) => links.Send(rankOf(replica), key, tensor, AlreadyDone.Instance);

    /// <summary>Waits for a tensor, which the caller then owns, and says when it had arrived.</summary>
    internal (torch.Tensor Tensor, long Ready) Take(FrameKey key)
    {
        var arrived = inbox.TakeTensor(key);
        return (arrived.Value.Take(torch.CPU), arrived.Timestamp);
    }
}
