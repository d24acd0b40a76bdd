using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>A tensor that has arrived, in whatever form its link brings it. Owned by the inbox until an action takes it.</summary>
internal abstract class TensorArrival(FrameKey key, ulong span = 0)
{
    internal FrameKey Key { get; } = key;

    /// <summary>The span that it was sent from, as <see cref="Protocol.StepTraces"/> counts them; 0 for none.</summary>
    internal ulong Span { get; } = span;

    /// <summary>Whether it came from another process, which may send what it likes.</summary>
    internal virtual bool IsForeign => true;

    /// <summary>Turns it into a tensor of the device, which the caller owns from then on. On the compute thread, once.</summary>
    internal abstract torch.Tensor Take(torch.Device device);

    /// <summary>Frees it unread.</summary>
    internal abstract void Refuse();
}

/// <summary>A tensor handed over inside the process.</summary>
internal sealed class HandedOver(TensorHandover handover) : TensorArrival(handover.Key, handover.Span)
{
    internal override bool IsForeign => false;

    internal override torch.Tensor Take(torch.Device device)
    {
        handover.Completion.Wait();
        return handover.Tensor;
    }

    internal override void Refuse() => handover.Tensor.Dispose();
}

/// <summary>A tensor that came as bytes; it becomes a tensor only on the compute thread.</summary>
internal sealed class FrameArrival(TensorFrame frame) : TensorArrival(frame.Key, frame.Span)
{
    internal override torch.Tensor Take(torch.Device device) => TensorBytes.ToTensor(frame, 0, device);

    internal override void Refuse()
    {
    }
}
