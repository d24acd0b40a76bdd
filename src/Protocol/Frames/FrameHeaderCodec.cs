using System.Buffers;
using System.Buffers.Binary;
using System.IO.Hashing;
using MessagePack;

namespace Pipeline.Protocol.Frames;

/// <summary>
/// The hand-written MessagePack form of what stands in front of a frame's bytes: an array of version, key, tensors, span, checksum (or nil),
/// and the head of the <c>bin32</c> that the bytes are. Reading it decides whether the bytes are taken at all, before any memory is.
/// </summary>
public static class FrameHeaderCodec
{
    /// <summary>The longest header that is read: more than sixteen tensors of eight dimensions need.</summary>
    public const int MaxLength = 4096;

    private const int Version = 2;
    private const int FieldCount = 13;
    private const byte Bin32 = 0xC6;
    private const int BinHeadLength = 5;

    /// <summary>Writes the fields that a checksum covers.</summary>
    internal static void WriteFields(IBufferWriter<byte> buffer, FrameHeader header)
    {
        var key = header.Key;
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
        writer.WriteArrayHeader(header.Tensors.Count);
        foreach (var tensor in header.Tensors) Write(ref writer, tensor);
        writer.Write(header.Span);
        writer.Flush();
    }

    /// <summary>Writes the rest: the checksum and the head of the block.</summary>
    /// <param name="buffer">Holds the fields already.</param>
    /// <param name="checksum">Null where the way of the frame needs none.</param>
    /// <param name="blockLength">Bytes that follow.</param>
    internal static void WriteTail(IBufferWriter<byte> buffer, ulong? checksum, long blockLength)
    {
        var writer = new MessagePackWriter(buffer);
        if (checksum is { } value) writer.WriteUInt64(value);
        else writer.WriteNil();
        writer.Flush();
        // MessagePackWriter would ask its buffer for the whole payload, so the head of the bin is written by hand.
        var place = buffer.GetSpan(BinHeadLength);
        place[0] = Bin32;
        BinaryPrimitives.WriteUInt32BigEndian(place[1..], checked((uint)blockLength));
        buffer.Advance(BinHeadLength);
    }

    /// <summary>Where a checksum over a frame begins: it is seeded with that of the header, so that neither can be altered alone.</summary>
    /// <param name="fields">The bytes of <see cref="WriteFields"/>.</param>
    internal static long ChecksumSeed(ReadOnlySpan<byte> fields) => unchecked((long)XxHash3.HashToUInt64(fields));

    /// <summary>Reads and judges a header; nothing is allocated but the header itself.</summary>
    /// <param name="bytes">From the first byte of the header; may go on after it.</param>
    /// <param name="limits">What this receiver takes.</param>
    /// <exception cref="FrameException">It is broken, lies about sizes, or exceeds the limits.</exception>
    public static ParsedHeader Parse(ReadOnlyMemory<byte> bytes, FrameLimits limits)
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

    private static void Write(ref MessagePackWriter writer, FrameTensor tensor)
    {
        writer.WriteArrayHeader(3);
        writer.Write((int)tensor.DataType);
        writer.WriteArrayHeader(tensor.Shape.Count);
        foreach (var size in tensor.Shape) writer.Write(size);
        writer.Write(tensor.ByteCount);
    }

    private static ParsedHeader Read(ReadOnlyMemory<byte> bytes, FrameLimits limits)
    {
        var reader = new MessagePackReader(bytes);
        var fieldCount = reader.ReadArrayHeader();
        if (fieldCount != FieldCount) throw new FrameException($"Tensor frame: expected {FieldCount} fields, found {fieldCount}.");
        var version = reader.ReadInt32();
        if (version != Version) throw new FrameException($"Tensor frame: version {version} is not known; this build reads {Version}.");
        var header = new FrameHeader(ReadKey(ref reader), ReadTensors(ref reader, limits), reader.ReadUInt64());
        var fieldsLength = (int)reader.Consumed;
        var checksum = ReadChecksum(ref reader);
        var blockLength = header.BlockLength;
        if (blockLength > limits.MaxByteCount) throw new FrameException($"Tensor frame: {blockLength} bytes, at most {limits.MaxByteCount} are accepted.");
        var head = bytes.Span[(int)reader.Consumed..];
        if (head.Length < BinHeadLength || head[0] != Bin32) throw new FrameException("Tensor frame: the byte block is missing.");
        var claimed = BinaryPrimitives.ReadUInt32BigEndian(head[1..]);
        if (claimed != blockLength) throw new FrameException($"Tensor frame: the tensors need {blockLength} bytes, the block claims {claimed}.");
        return new ParsedHeader(header, (int)reader.Consumed + BinHeadLength, blockLength, checksum, ChecksumSeed(bytes.Span[..fieldsLength]));
    }

    // The checksum does not cover itself, so its one spelling is required: no byte of a frame may change unnoticed.
    private static ulong? ReadChecksum(ref MessagePackReader reader)
    {
        if (reader.TryReadNil()) return null;
        if (reader.NextCode != MessagePackCode.UInt64) throw new FrameException("Tensor frame: the checksum must be 64 bits wide.");
        return reader.ReadUInt64();
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
}

/// <summary>A header that was read and found acceptable.</summary>
/// <param name="Header">Key and tensors.</param>
/// <param name="Length">Bytes of the header; the block follows.</param>
/// <param name="BlockLength">Bytes of the block.</param>
/// <param name="Checksum">What the block's XXH3 must be, seeded with <paramref name="ChecksumSeed"/>; null if the sender gave none.</param>
/// <param name="ChecksumSeed">Checksum of the header's own fields.</param>
public readonly record struct ParsedHeader(FrameHeader Header, int Length, long BlockLength, ulong? Checksum, long ChecksumSeed);
