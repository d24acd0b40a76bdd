using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// The ways out of a stage: tensors and notes to other ranks, events to the coordinator. Called by its compute thread; tensors are also sent, lent and settled by threads of links, which
/// answer what they have worked on.
/// </summary>
internal interface IStageLinks
{
    /// <summary>Sends a tensor to the rank that needs it; takes ownership.</summary>
    void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion);

    /// <summary>
    /// Sends memory from where it lies, without a copy: its owner leaves it as it is until it may change it, as <see cref="TensorLoan"/> says. Null where that is not possible: nothing was
    /// sent then, and the tensor is still the caller's.
    /// </summary>
    /// <param name="rank">To whom.</param>
    /// <param name="key">Which it is.</param>
    /// <param name="view">Names the memory; owned by the links if it was sent.</param>
    /// <param name="isAwaited">Whether the end of the loan is waited for.</param>
    TensorLoan? Lend(int rank, FrameKey key, torch.Tensor view, bool isAwaited) => null;

    /// <summary>
    /// A tensor is kept for a loss instead of memory that was lent: when this returns, nobody reads that memory for what is kept, and its owner may change it as far as the link is concerned.
    /// </summary>
    /// <param name="loan">Of memory that is still as it was lent.</param>
    /// <param name="own">Holds what the memory holds; owned by the links from now on.</param>
    void Settle(TensorLoan loan, torch.Tensor own) => throw new UnreachableException("Nothing was lent here.");

    /// <summary>Sends a note to a rank.</summary>
    void Send(int rank, NeighbourProtocol.INote note);

    /// <summary>Whether there is somewhere to keep copies of the state.</summary>
    bool TakesCopies { get; }

    /// <summary>Sends a copy of the rank's state to where copies are kept; takes ownership.</summary>
    void Protect(StateCopy copy);

    /// <summary>Tells the coordinator.</summary>
    void Report(StageProtocol.IEvent report);
}
