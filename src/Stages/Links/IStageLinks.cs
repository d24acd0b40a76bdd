using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>The ways out of a stage: tensors and notes to other ranks, events to the coordinator. Called by its compute thread only.</summary>
internal interface IStageLinks
{
    /// <summary>Sends a tensor to the rank that needs it; takes ownership.</summary>
    void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion);

    /// <summary>Sends a note to a rank.</summary>
    void Send(int rank, NeighbourProtocol.INote note);

    /// <summary>Whether there is somewhere to keep copies of the state.</summary>
    bool TakesCopies { get; }

    /// <summary>Sends a copy of the rank's state to where copies are kept; takes ownership.</summary>
    void Protect(StateCopy copy);

    /// <summary>Tells the coordinator.</summary>
    void Report(StageProtocol.IEvent report);
}
