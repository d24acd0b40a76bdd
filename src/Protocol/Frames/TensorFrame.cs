using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol.Frames;

/// <summary>Type of a tensor's elements on the wire.</summary>
public enum FrameDataType
{
    /// <summary>IEEE 754 single.</summary>
    Float32 = 0,

    /// <summary>bfloat16.</summary>
    BFloat16 = 1,

    /// <summary>IEEE 754 double.</summary>
    Float64 = 2,

    /// <summary>Signed 64-bit integer.</summary>
    Int64 = 3,

    /// <summary>Bytes without a meaning to the wire: state copies, packed gradients.</summary>
    Byte = 4,
}

/// <summary>One tensor of a frame.</summary>
/// <param name="DataType">Element type.</param>
/// <param name="Shape">Dimensions, each at least 1; empty for a scalar.</param>
/// <param name="ByteCount">Elements times element size.</param>
public sealed record FrameTensor(FrameDataType DataType, IReadOnlyList<long> Shape, long ByteCount)
{
    /// <summary>Bytes of one element.</summary>
    public static int SizeOf(FrameDataType dataType) => dataType switch
    {
        FrameDataType.Float32 => 4,
        FrameDataType.BFloat16 => 2,
        FrameDataType.Float64 => 8,
        FrameDataType.Int64 => 8,
        FrameDataType.Byte => 1,
        _ => throw new FrameException($"Tensor frame: unknown element type {(int)dataType}."),
    };
}

/// <summary>
/// Tensors as bytes: the wire form of an activation or a gradient. It knows no tensor library. Each tensor starts at a multiple of 64
/// bytes of <see cref="Bytes"/>. Two frames are compared by key and checksum, not by value. The bytes belong to the frame and are not
/// written after its construction.
/// </summary>
/// <param name="key">Which tensor it is.</param>
/// <param name="tensors">What lies in the bytes, in order.</param>
/// <param name="bytes">Row-major, little-endian elements of all tensors.</param>
/// <param name="span">The span that it is sent from; 0 for none.</param>
public sealed class TensorFrame(FrameKey key, IReadOnlyList<FrameTensor> tensors, ReadOnlyMemory<byte> bytes, ulong span = 0) : IWireMessage
{
    /// <summary>Tensors start at multiples of so many bytes.</summary>
    public const int Alignment = 64;

    /// <summary>Which tensor it is.</summary>
    public FrameKey Key { get; } = key;

    /// <summary>What lies in the bytes, in order.</summary>
    public IReadOnlyList<FrameTensor> Tensors { get; } = tensors;

    /// <summary>Elements of all tensors.</summary>
    public ReadOnlyMemory<byte> Bytes { get; } = bytes;

    /// <summary>The span that it is sent from, see <see cref="StepTraces"/>; 0 for none.</summary>
    public ulong Span { get; } = span;

    /// <summary>Bytes of one of the tensors.</summary>
    public ReadOnlyMemory<byte> BytesOf(int index)
    {
        long offset = 0;
        for (var before = 0; before < index; before++) offset = Aligned(offset + Tensors[before].ByteCount);
        return Bytes.Slice((int)offset, (int)Tensors[index].ByteCount);
    }

    /// <summary>Length of the byte block that holds such tensors.</summary>
    /// <exception cref="FrameException">The sum does not fit 64 bits.</exception>
    public static long BlockLength(IReadOnlyList<FrameTensor> tensors)
    {
        long end = 0;
        for (var index = 0; index < tensors.Count; index++)
        {
            var tensor = tensors[index];
            var start = Aligned(end);
            if (start > long.MaxValue - Alignment - tensor.ByteCount) throw new FrameException("Tensor frame: the byte counts overflow.");
            end = start + tensor.ByteCount;
        }

        return end;
    }

    /// <summary>Bytes between the end of one tensor and the start of the next.</summary>
    internal static int PaddingAfter(long end) => (int)(Aligned(end) - end);

    /// <summary>Where a tensor starts that may not start before an offset.</summary>
    internal static long Aligned(long offset) => (offset + Alignment - 1) & -Alignment;
}
