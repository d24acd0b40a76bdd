using System.Buffers;
using System.IO.Hashing;

namespace Pipeline.Protocol.Frames;

/// <summary>
/// A <see cref="TensorFrame"/> as one array of bytes, header and block in one, written with one copy and read with none. The checksum is
/// XXH3 over the bytes, seeded with that of the header before it. It guards against accidents, not against forgery: links authenticate
/// their peers.
/// </summary>
public static class TensorFrameCodec
{
    /// <summary>The frame as one exact array.</summary>
    public static byte[] Encode(TensorFrame frame)
    {
        var header = new ArrayBufferWriter<byte>(128);
        FrameHeaderCodec.WriteFields(header, new FrameHeader(frame.Key, frame.Tensors, frame.Span));
        var checksum = XxHash3.HashToUInt64(frame.Bytes.Span, FrameHeaderCodec.ChecksumSeed(header.WrittenSpan));
        FrameHeaderCodec.WriteTail(header, checksum, frame.Bytes.Length);
        var bytes = GC.AllocateUninitializedArray<byte>(checked(header.WrittenCount + frame.Bytes.Length));
        header.WrittenSpan.CopyTo(bytes);
        frame.Bytes.Span.CopyTo(bytes.AsSpan(header.WrittenCount));
        return bytes;
    }

    /// <summary>Reads a frame; its bytes are a slice of the given ones, which must not be written afterwards.</summary>
    /// <exception cref="FrameException">The bytes are no valid frame or exceed the limits.</exception>
    public static TensorFrame Decode(ReadOnlyMemory<byte> bytes, FrameLimits limits)
    {
        var parsed = FrameHeaderCodec.Parse(bytes, limits);
        var block = bytes[parsed.Length..];
        if (block.Length != parsed.BlockLength)
            throw new FrameException($"Tensor frame: the tensors need {parsed.BlockLength} bytes, the block holds {block.Length}.");
        if (XxHash3.HashToUInt64(block.Span, parsed.ChecksumSeed) != parsed.Checksum)
            throw new FrameException($"Tensor frame {parsed.Header.Key}: the checksum does not match; the frame was altered on its way.");
        return new TensorFrame(parsed.Header.Key, parsed.Header.Tensors, block, parsed.Header.Span);
    }
}
