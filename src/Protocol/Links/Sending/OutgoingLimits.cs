using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Links;

/// <summary>What a sender checks before a frame is queued, so that a receiver of the same settings never has to refuse one.</summary>
internal static class OutgoingLimits
{
    /// <summary>Checks header and payload against each other and against the limits.</summary>
    /// <exception cref="FrameTooLargeException">The limits are exceeded.</exception>
    /// <exception cref="ArgumentException">The payload is not what the header says.</exception>
    internal static void Check(FrameHeader header, IFramePayload payload, FrameLimits limits)
    {
        var length = header.BlockLength;
        if (length > limits.MaxByteCount || header.Tensors.Count > limits.MaxTensorCount || header.Tensors.Any(tensor => tensor.Shape.Count > limits.MaxDimensionCount))
        {
            throw new FrameTooLargeException(
                $"Frame {header.Key}: {length} bytes in {header.Tensors.Count} tensors; a link takes {limits.MaxByteCount} bytes in {limits.MaxTensorCount} tensors of {limits.MaxDimensionCount} dimensions. "
                + "Raise pipeline.link.max-frame on all nodes, or make micro-batches smaller.");
        }

        for (var index = 0; index < header.Tensors.Count; index++)
        {
            var found = payload.BytesOf(index).Length;
            if (found != header.Tensors[index].ByteCount)
                throw new ArgumentException($"Frame {header.Key}: tensor {index} has {header.Tensors[index].ByteCount} bytes by the header, {found} by the payload.", nameof(payload));
        }
    }
}
