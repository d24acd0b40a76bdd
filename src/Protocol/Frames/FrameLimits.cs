namespace Pipeline.Protocol.Frames;

/// <summary>The largest frame that a receiver accepts; checked before any memory is taken for it.</summary>
/// <param name="MaxTensorCount">Tensors of a frame.</param>
/// <param name="MaxDimensionCount">Dimensions of a tensor.</param>
/// <param name="MaxByteCount">Bytes of all tensors with their padding.</param>
public sealed record FrameLimits(int MaxTensorCount, int MaxDimensionCount, long MaxByteCount)
{
    /// <summary>What holds unless a link knows better: 16 tensors of 8 dimensions, 1 GiB.</summary>
    public static FrameLimits Default { get; } = new(16, 8, 1L << 30);
}
