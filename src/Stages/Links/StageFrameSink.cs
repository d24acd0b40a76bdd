using Akka.Actor;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Receives a rank's frames straight into tensors, or into the place that the rank has for them, and tells its actor, unless the rank has asked for work to be done on them as they come (sums of gradients): that is done
/// here. Credits go back when that is done, or else once the actor is told, not when an action takes the tensor:
/// what lies in the inbox is bounded by the schedule, and one that takes frames in another order than they were sent cannot deadlock.
/// </summary>
/// <param name="stage">The rank's actor.</param>
/// <param name="inbox">The rank's inbox.</param>
/// <param name="awaited">What it may be sent; null where that is not known.</param>
internal sealed class StageFrameSink(IActorRef stage, StageInbox inbox, AwaitedInputs? awaited = null) : IFrameSink
{
    private readonly FrameReceiver _receiver = new(inbox);
    private volatile bool _isRetired;

    /// <summary>The generation is over: what still comes is the actor's to judge.</summary>
    internal void Retire() => _isRetired = true;

    /// <inheritdoc/>
    public IFrameBuffer Rent(LinkPeer from, FrameHeader header)
    {
        if (header.Tensors.Count != 1) throw new FrameException($"Tensor frame {header.Key}: a stage takes one tensor a frame, found {header.Tensors.Count}.");
        if (awaited?.FaultOf(header) is { } fault) throw new FrameException($"Tensor frame: {fault}.");
        return _receiver.Rent(header);
    }

    /// <inheritdoc/>
    public void Arrived(ArrivedFrame frame)
    {
        if (_receiver.Arrived(frame, mayWork: !_isRetired) is { } received) stage.Tell(received);
        frame.Consume();
    }
}

/// <summary>A tensor that came over a link from another process. Never leaves this one.</summary>
/// <param name="Key">Which.</param>
/// <param name="Tensor">In the processor's memory; owned by who takes the message.</param>
/// <param name="Span">The span that it was sent from; 0 for none.</param>
public sealed record TensorReceived(FrameKey Key, torch.Tensor Tensor, ulong Span = 0) : INoSerializationVerificationNeeded;

/// <summary>A tensor of the processor's memory on its way to an action.</summary>
internal sealed class ReceivedTensor(TensorReceived received) : TensorArrival(received.Key, received.Span)
{
    /// <summary>The tensor, for whoever only looks at it.</summary>
    internal torch.Tensor Tensor => received.Tensor;

    internal override torch.Tensor Take(torch.Device device)
    {
        if (device.type == DeviceType.CPU) return received.Tensor;
        using var guard = torch.no_grad();
        using (received.Tensor) return received.Tensor.to(device).DetachFromDisposeScope();
    }

    internal override void Refuse() => received.Tensor.Dispose();
}
