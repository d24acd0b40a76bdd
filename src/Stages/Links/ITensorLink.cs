using Akka.Actor;
using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>One end of the way to another rank. Called by the compute thread only.</summary>
public interface ITensorLink
{
    /// <summary>Sends a tensor; takes ownership.</summary>
    void Send(FrameKey key, torch.Tensor tensor, ICompletion completion);
}

/// <summary>Hands tensors over by reference inside the process: no byte is copied.</summary>
internal sealed class ReferenceLink(IActorRef neighbour, IActorRef self) : ITensorLink
{
    /// <inheritdoc/>
    public void Send(FrameKey key, torch.Tensor tensor, ICompletion completion) =>
        neighbour.Tell(new TensorHandover(key, tensor, completion), self);
}

/// <summary>Sends tensors as bytes, in a frame that any process can read.</summary>
internal sealed class FrameLink(IActorRef neighbour, IActorRef self) : ITensorLink
{
    /// <inheritdoc/>
    public void Send(FrameKey key, torch.Tensor tensor, ICompletion completion)
    {
        completion.Wait();
        using (tensor) neighbour.Tell(TensorBytes.ToFrame(key, tensor), self);
    }
}
