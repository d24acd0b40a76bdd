using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>Takes a rank's frames from its links straight into its inbox: they are received into the tensors' own memory.</summary>
internal sealed class TensorSink(StageInbox inbox) : IFrameSink
{
    /// <inheritdoc/>
    public IFrameBuffer Rent(LinkPeer from, FrameHeader header) => TensorMemory.For(header);

    /// <inheritdoc/>
    public void Arrived(Protocol.Links.FrameArrival frame) => inbox.Post(new LinkArrival(frame));
}

/// <summary>A tensor that came over a link, in memory of its own.</summary>
internal sealed class LinkArrival(Protocol.Links.FrameArrival frame) : TensorArrival(frame.Header.Key)
{
    internal override torch.Tensor Take(torch.Device device)
    {
        var onHost = ((TensorMemory)frame.Buffer).Take();
        frame.Consume();
        if (device.type == DeviceType.CPU) return onHost;
        using (onHost) return onHost.to(device).DetachFromDisposeScope();
    }

    internal override void Refuse()
    {
        frame.Buffer.Dispose();
        frame.Consume();
    }
}
