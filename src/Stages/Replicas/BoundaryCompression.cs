using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Wire;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// What crosses a boundary between two stages as fewer bytes: quantised, each tensor by itself. Nothing is carried on to the next one, since a
/// micro-batch's error says nothing of another's samples. Random numbers are named by step, edge, micro-batch and direction, so that a
/// replay sends the same bits. Owns nothing.
/// </summary>
/// <param name="settings">bfloat16, int8 or int4.</param>
/// <param name="seed">The run's seed.</param>
internal sealed class BoundaryCompression(CompressionSettings settings, ulong seed)
{
    private const int MaxDimensionCount = 8;
    private readonly ICompressor _compressor = settings.Create(0, [], seed);

    /// <summary>The tensor as bytes, owned by the caller; the tensor is disposed.</summary>
    internal Tensor Encode(Tensor tensor, FrameKey key)
    {
        using (tensor)
        {
            using var guard = no_grad();
            using var scope = NewDisposeScope();
            var flat = tensor.to_type(ScalarType.Float32).cpu().reshape(-1);
            var length = checked((int)flat.numel());
            var rounding = new RoundingKey(Philox.Key(seed, FormattableString.Invariant($"{key.Kind}.{key.Edge}.{key.MicroBatch}")), key.Step.Step);
            var shape = tensor.shape;
            var (overhead, most) = (CompressedSpanCodec.Overhead(_compressor.Kind, length), _compressor.MaxByteCount(length));
            var bytes = empty(sizeof(long) * (1 + shape.Length) + overhead + most, ScalarType.Byte, CPU).DetachFromDisposeScope();
            var place = bytes.bytes;
            foreach (var number in (long[])[shape.Length, .. shape])
            {
                BinaryPrimitives.WriteInt64LittleEndian(place, number);
                place = place[sizeof(long)..];
            }

            // The kinds of a boundary need all of the bytes, always.
            var byteCount = _compressor.Compress(MemoryMarshal.Cast<byte, float>(flat.bytes), default, place[overhead..], rounding);
            CompressedSpanCodec.WriteHead(place, _compressor.Kind, length, byteCount);
            return bytes;
        }
    }

    /// <summary>The tensor that bytes stand for, owned by the caller; the bytes are disposed.</summary>
    /// <param name="encoded">What arrived.</param>
    /// <param name="type">Type of the activations.</param>
    /// <param name="device">Where it is wanted.</param>
    /// <exception cref="CompressionException">They are not a tensor that the other end could have sent.</exception>
    internal Tensor Decode(Tensor encoded, ScalarType type, Device device)
    {
        using (encoded)
        {
            using var guard = no_grad();
            using var scope = NewDisposeScope();
            var onHost = encoded.cpu();
            if (onHost.dtype != ScalarType.Byte) throw new CompressionException($"Expected a compressed tensor, found {encoded.dtype}.");
            var shape = Shape(onHost.bytes, out var start, out var length);
            // The kinds of a boundary need a fixed number of bytes: what has others is refused before it is copied, or memory is taken for what it claims.
            var needed = CompressedSpanCodec.Overhead(_compressor.Kind, length) + _compressor.MaxByteCount(length);
            if (onHost.numel() - start != needed) throw new CompressionException($"A compressed tensor of the shape [{string.Join(", ", shape)}] takes {needed} bytes, found are {onHost.numel() - start}.");
            var payload = CompressedSpanCodec.Decode(onHost.bytes[start..], _compressor.Kind, length);
            var values = empty(shape, ScalarType.Float32, CPU);
            _compressor.Decompress(payload, MemoryMarshal.Cast<byte, float>(values.bytes));
            return values.to(type).to(device).DetachFromDisposeScope();
        }
    }

    /// <summary>The claimed shape: no kind takes less than half a byte an element, so nothing larger than twice the bytes is believed.</summary>
    private static long[] Shape(ReadOnlySpan<byte> bytes, out int start, out int length)
    {
        var limit = 2L * bytes.Length;
        var count = bytes.Length < sizeof(long) ? -1 : BinaryPrimitives.ReadInt64LittleEndian(bytes);
        start = sizeof(long) * (int)(1 + Math.Clamp(count, 0, MaxDimensionCount));
        if (count is < 1 or > MaxDimensionCount || bytes.Length < start) throw new CompressionException($"A compressed tensor claims {count} dimensions in {bytes.Length} bytes.");
        var shape = MemoryMarshal.Cast<byte, long>(bytes[sizeof(long)..start]).ToArray();
        var product = shape.Aggregate((Int128)1, (soFar, size) => size < 1 || soFar > limit ? limit + (Int128)1 : soFar * size);
        if (product > Math.Min(limit, int.MaxValue)) throw new CompressionException($"A compressed tensor claims the shape [{string.Join(", ", shape)}], which {bytes.Length} bytes cannot hold.");
        length = (int)product;
        return shape;
    }
}
