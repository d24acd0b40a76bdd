using System.Buffers;
using System.Buffers.Binary;
using System.IO.Hashing;
using MessagePack;

namespace Pipeline.Protocol.Frames;

/// <summary>
/// The hand-written MessagePack form of a <see cref="TensorFrame"/>: an array of version, key, tensors, checksum, and the bytes as
/// <c>bin32</c>, written with one copy and read with none. The checksum is XXH3 over the bytes, seeded with that of the header before
/// it, so that neither can be altered alone. It guards against accidents, not against forgery: links authenticate their peers.
/// </summary>
public static class TensorFrameCodec
{
    private const int Version = 1;
    private const int FieldCount = 12;
    private const byte Bin32 = 0xC6;
    private const int BinHeaderLength = 5;

    /// <summary>The frame as one exact array.</summary>
    public static byte[] Encode(TensorFrame frame)
    {
        var header = new ArrayBufferWriter<byte>(128);
        WriteHeader(header, frame);
        var checksum = Checksum(header.WrittenSpan, frame.Bytes.Span);
        WriteChecksum(header, checksum);
        var bytes = GC.AllocateUninitializedArray<byte>(checked(header.WrittenCount + BinHeaderLength + frame.Bytes.Length));
        header.WrittenSpan.CopyTo(bytes);
        // MessagePackWriter would ask its buffer for the whole payload once more, so the bin header is written by hand.
        var place = bytes.AsSpan(header.WrittenCount);
        place[0] = Bin32;
        BinaryPrimitives.WriteInt32BigEndian(place[1..], frame.Bytes.Length);
        frame.Bytes.Span.CopyTo(place[BinHeaderLength..]);
        return bytes;
    }

    /// <summary>Reads a frame; its bytes are a slice of the given ones, which must not be written afterwards.</summary>
    /// <exception cref="FrameException">The bytes are no valid frame or exceed the limits.</exception>
    public static TensorFrame Decode(ReadOnlyMemory<byte> bytes, FrameLimits limits)
    {
        try
        {
            return Read(bytes, limits);
        }
        catch (Exception fault) when (fault is MessagePackSerializationException or EndOfStreamException or OverflowException)
        {
            throw new FrameException($"Tensor frame: the encoding is broken ({fault.Message}).", fault);
        }
    }

    private static void WriteHeader(ArrayBufferWriter<byte> buffer, TensorFrame frame)
    {
        var key = frame.Key;
        var writer = new MessagePackWriter(buffer);
        writer.WriteArrayHeader(FieldCount);
        writer.Write(Version);
        writer.Write(key.Step.Run.Value);
        writer.Write(key.Step.Generation.Number);
        writer.Write(key.Step.Attempt);
        writer.Write(key.Step.Step);
        writer.Write(key.Edge);
        writer.Write(key.MicroBatch);
        writer.Write(key.Slice);
        writer.Write((int)key.Kind);
        writer.WriteArrayHeader(frame.Tensors.Count);
        foreach (var tensor in frame.Tensors) Write(ref writer, tensor);
        writer.Flush();
    }

    private static void Write(ref MessagePackWriter writer, FrameTensor tensor)
    {
        writer.WriteArrayHeader(3);
        writer.Write((int)tensor.DataType);
        writer.WriteArrayHeader(tensor.Shape.Count);
        foreach (var size in tensor.Shape) writer.Write(size);
        writer.Write(tensor.ByteCount);
    }

    private static void WriteChecksum(ArrayBufferWriter<byte> buffer, ulong checksum)
    {
        var writer = new MessagePackWriter(buffer);
        writer.WriteUInt64(checksum);
        writer.Flush();
    }

    private static ulong Checksum(ReadOnlySpan<byte> header, ReadOnlySpan<byte> bytes) =>
        XxHash3.HashToUInt64(bytes, unchecked((long)XxHash3.HashToUInt64(header)));

    private static TensorFrame Read(ReadOnlyMemory<byte> bytes, FrameLimits limits)
    {
        var reader = new MessagePackReader(bytes);
        var fieldCount = reader.ReadArrayHeader();
        if (fieldCount != FieldCount) throw new FrameException($"Tensor frame: expected {FieldCount} fields, found {fieldCount}.");
        var version = reader.ReadInt32();
        if (version != Version) throw new FrameException($"Tensor frame: version {version} is not known; this build reads {Version}.");
        var key = ReadKey(ref reader);
        var tensors = ReadTensors(ref reader, limits);
        var headerLength = (int)reader.Consumed;
        // The checksum does not cover itself, so its one spelling is required: no byte of a frame may change unnoticed.
        if (reader.NextCode != MessagePackCode.UInt64) throw new FrameException("Tensor frame: the checksum must be 64 bits wide.");
        var checksum = reader.ReadUInt64();
        var block = ReadBlock(ref reader, bytes, TensorFrame.BlockLength(tensors), limits);
        if (Checksum(bytes.Span[..headerLength], block.Span) != checksum)
            throw new FrameException($"Tensor frame {key}: the checksum does not match; the frame was altered on its way.");
        return new TensorFrame(key, tensors, block);
    }

    private static FrameKey ReadKey(ref MessagePackReader reader)
    {
        var run = new RunId(reader.ReadUInt64());
        var step = new StepKey(run, new Generation(reader.ReadInt32()), reader.ReadInt32(), reader.ReadInt64());
        var (edge, microBatch, slice, kind) = (reader.ReadInt32(), reader.ReadInt32(), reader.ReadInt32(), (FrameKind)reader.ReadInt32());
        if (step.Step < 0 || step.Attempt < 0 || edge < 0 || microBatch < 0 || slice < 0 || !Enum.IsDefined(kind))
            throw new FrameException($"Tensor frame: a negative number or unknown kind in {step}, edge {edge}, micro-batch {microBatch}, slice {slice}, kind {(int)kind}.");
        return new FrameKey(step, edge, microBatch, slice, kind);
    }

    private static FrameTensor[] ReadTensors(ref MessagePackReader reader, FrameLimits limits)
    {
        var count = reader.ReadArrayHeader();
        if (count > limits.MaxTensorCount) throw new FrameException($"Tensor frame: {count} tensors, at most {limits.MaxTensorCount} are accepted.");
        var tensors = new FrameTensor[count];
        for (var index = 0; index < count; index++) tensors[index] = ReadTensor(ref reader, limits);
        return tensors;
    }

    private static FrameTensor ReadTensor(ref MessagePackReader reader, FrameLimits limits)
    {
        if (reader.ReadArrayHeader() != 3) throw new FrameException("Tensor frame: a tensor's entry must have 3 fields.");
        var dataType = (FrameDataType)reader.ReadInt32();
        long byteCount = FrameTensor.SizeOf(dataType);
        var dimensionCount = reader.ReadArrayHeader();
        if (dimensionCount > limits.MaxDimensionCount)
            throw new FrameException($"Tensor frame: {dimensionCount} dimensions, at most {limits.MaxDimensionCount} are accepted.");
        var shape = new long[dimensionCount];
        for (var dimension = 0; dimension < dimensionCount; dimension++)
        {
            var size = shape[dimension] = reader.ReadInt64();
            if (size < 1 || size > limits.MaxByteCount / byteCount)
                throw new FrameException($"Tensor frame: dimension {dimension} is {size}; the tensor must be non-empty and hold at most {limits.MaxByteCount} bytes.");
            byteCount *= size;
        }

        var claimed = reader.ReadInt64();
        if (claimed != byteCount) throw new FrameException($"Tensor frame: a tensor claims {claimed} bytes, its shape needs {byteCount}.");
        return new FrameTensor(dataType, shape, byteCount);
    }

    private static ReadOnlyMemory<byte> ReadBlock(ref MessagePackReader reader, ReadOnlyMemory<byte> bytes, long expected, FrameLimits limits)
    {
        if (expected > limits.MaxByteCount) throw new FrameException($"Tensor frame: {expected} bytes, at most {limits.MaxByteCount} are accepted.");
        var place = bytes[(int)reader.Consumed..];
        if (place.Length < BinHeaderLength || place.Span[0] != Bin32) throw new FrameException("Tensor frame: the byte block is missing.");
        var length = BinaryPrimitives.ReadUInt32BigEndian(place.Span[1..]);
        if (length != expected || place.Length - BinHeaderLength != expected)
            throw new FrameException($"Tensor frame: the tensors need {expected} bytes, the block claims {length} and holds {place.Length - BinHeaderLength}.");
        return place[BinHeaderLength..];
    }
}
