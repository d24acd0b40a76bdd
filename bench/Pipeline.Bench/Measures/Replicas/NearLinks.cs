using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>The ways between ranks of one process, without actors: tensors go into the others' inboxes by reference.</summary>
internal sealed class NearLinks(IReadOnlyList<StageInbox> inboxes) : IStageLinks
{
    /// <inheritdoc/>
    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion) => inboxes[rank].Post(new HandedOver(new TensorHandover(key, tensor, completion)));

    /// <inheritdoc/>
    public void Send(int rank, NeighbourProtocol.INote note) => inboxes[rank].Post(note);

    /// <inheritdoc/>
    public bool TakesCopies => false;

    /// <inheritdoc/>
    public void Protect(StateCopy copy) => copy.Dispose();

    /// <inheritdoc/>
    public void Report(StageProtocol.IEvent report)
    {
    }
}
