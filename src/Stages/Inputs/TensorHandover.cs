using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>Says when a result that was handed over may be read.</summary>
public interface ICompletion
{
    /// <summary>Blocks the calling compute thread until the result is there; on a device it orders the work instead of waiting.</summary>
    void Wait();
}

/// <summary>The completion of results that are there already: everything computed on a CPU.</summary>
public sealed class AlreadyDone : ICompletion
{
    private AlreadyDone()
    {
    }

    /// <summary>The only instance.</summary>
    public static AlreadyDone Instance { get; } = new();

    /// <inheritdoc/>
    public void Wait()
    {
    }
}

/// <summary>
/// A tensor that changes hands inside the process, by reference. The sender never touches it again; the receiver's inbox owns it, then
/// the action that takes it. Never leaves the process.
/// </summary>
/// <param name="Key">Which tensor it is.</param>
/// <param name="Tensor">The tensor, outside every dispose scope.</param>
/// <param name="Completion">When it may be read.</param>
/// <param name="Span">The span that it is sent from; 0 for none.</param>
public sealed record TensorHandover(FrameKey Key, torch.Tensor Tensor, ICompletion Completion, ulong Span = 0) : INoSerializationVerificationNeeded;

/// <summary>A note to a rank of the same node. Never leaves the process.</summary>
/// <param name="Note">What it says.</param>
public sealed record NoteHandover(NeighbourProtocol.INote Note) : INoSerializationVerificationNeeded;
