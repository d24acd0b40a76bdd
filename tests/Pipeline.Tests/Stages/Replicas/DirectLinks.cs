using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Links that end in the other ranks' inboxes at once, as bytes, so that no two ranks share memory.</summary>
internal sealed class DirectLinks(StageInbox[] inboxes) : IStageLinks
{
    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion)
    {
        using (tensor) inboxes[rank].Post(new FrameArrival(TensorBytes.ToFrame(key, tensor)));
    }

    public void Send(int rank, NeighbourProtocol.INote note) => inboxes[rank].Post(note);

    public bool TakesCopies => false;

    public void Protect(StateCopy copy) => copy.Dispose();

    public void Report(StageProtocol.IEvent report)
    {
    }
}
