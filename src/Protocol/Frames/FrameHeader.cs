namespace Pipeline.Protocol.Frames;

/// <summary>What stands in front of a frame's bytes: which tensor it is and what the bytes hold. Knows no bytes.</summary>
/// <param name="Key">Which tensor it is.</param>
/// <param name="Tensors">What the block of bytes holds, in order.</param>
/// <param name="Span">The span that it is sent from, see <see cref="StepTraces"/>; 0 for none.</param>
public sealed record FrameHeader(FrameKey Key, IReadOnlyList<FrameTensor> Tensors, ulong Span = 0)
{
    /// <summary>Length of the block that follows.</summary>
    /// <exception cref="FrameException">The sum does not fit 64 bits.</exception>
    public long BlockLength => TensorFrame.BlockLength(Tensors);
}
