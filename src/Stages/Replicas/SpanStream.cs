using System.Runtime.InteropServices;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Wire;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// One transfer of a reduction, step after step, as its sender and its receiver see it: spans become tensors that links carry, fp32 or the
/// bytes of a compressed span. What compression lost stays with the sender and goes with the next step. Owns the residual.
/// </summary>
internal sealed class SpanStream : IDisposable
{
    private readonly CompressionSettings _settings;
    private readonly ulong _stream;
    private readonly ICompressor _compressor;
    private readonly ErrorFeedback? _feedback;

    /// <param name="settings">Compression.</param>
    /// <param name="length">Elements of the span.</param>
    /// <param name="matrices">Matrices in the span.</param>
    /// <param name="stream">Names the random numbers of this transfer; see <see cref="RoundingKey"/>.</param>
    /// <param name="sends">Whether this end sends, and so keeps a residual.</param>
    internal SpanStream(CompressionSettings settings, int length, IReadOnlyList<MatrixRange> matrices, ulong stream, bool sends)
    {
        _settings = settings;
        _stream = stream;
        _compressor = settings.Create(length, matrices, stream);
        if (sends && settings.Kind != CompressionKind.None && settings.ErrorFeedback) _feedback = new ErrorFeedback(_compressor, length);
    }

    /// <summary>The values as a tensor to send, which the caller owns.</summary>
    internal Tensor Encode(ReadOnlySpan<float> values, long step)
    {
        using var guard = no_grad();
        if (_settings.KindAt(step) == CompressionKind.None) return ToTensor(MemoryMarshal.AsBytes(values), ScalarType.Float32);
        return ToTensor(Compressed(values, new RoundingKey(_stream, step)).Span, ScalarType.Byte);
    }

    /// <summary>The values that a tensor of the other end stands for.</summary>
    /// <exception cref="CompressionException">The tensor is not one that the other end could have sent.</exception>
    internal void Decode(Tensor tensor, Span<float> values, long step)
    {
        if (_settings.KindAt(step) == CompressionKind.None)
        {
            if (tensor.dtype != ScalarType.Float32 || tensor.numel() != values.Length)
                throw new CompressionException($"Expected {values.Length} elements of fp32, found {tensor.numel()} of {tensor.dtype}.");
            MemoryMarshal.Cast<byte, float>(tensor.bytes).CopyTo(values);
            return;
        }

        if (tensor.dtype != ScalarType.Byte) throw new CompressionException($"Expected a compressed span, found {tensor.dtype}.");
        var span = CompressedSpanCodec.Decode(tensor.bytes.ToArray(), _compressor.Kind, values.Length);
        _compressor.Decompress(span.Payload.Span, values);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _feedback?.Dispose();
        (_compressor as IDisposable)?.Dispose();
    }

    private ReadOnlyMemory<byte> Compressed(ReadOnlySpan<float> values, RoundingKey key)
    {
        var target = CompressedSpanCodec.Begin(_compressor.Kind, values.Length, _compressor.MaxByteCount(values.Length));
        var byteCount = _feedback is null
            ? _compressor.Compress(values, default, target.Payload, key)
            : _feedback.Compress(values, target.Payload, key);
        return target.End(byteCount);
    }

    private static Tensor ToTensor(ReadOnlySpan<byte> bytes, ScalarType type)
    {
        var tensor = empty(bytes.Length / (type == ScalarType.Float32 ? sizeof(float) : 1), type, CPU).DetachFromDisposeScope();
        bytes.CopyTo(tensor.bytes);
        return tensor;
    }
}
