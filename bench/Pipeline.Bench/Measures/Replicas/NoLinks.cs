using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>Ways to nobody, for a rank that is alone: whatever is sent is a fault.</summary>
internal sealed class NoLinks : IStageLinks
{
    /// <inheritdoc/>
    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion) => throw new UnreachableException($"{key} for rank {rank}");

    /// <inheritdoc/>
    public void Send(int rank, NeighbourProtocol.INote note) => throw new UnreachableException($"a note for rank {rank}");

    /// <inheritdoc/>
    public bool TakesCopies => false;

    /// <inheritdoc/>
    public void Protect(StateCopy copy) => copy.Dispose();

    /// <inheritdoc/>
    public void Report(StageProtocol.IEvent report)
    {
    }
}
