using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Wire;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// One transfer of a reduction, step after step, as its sender and its receiver see it: spans become tensors that links carry, fp32 or the
/// bytes of a compressed span. What compression lost stays with the sender and goes with the next step.
/// </summary>
internal sealed class SpanStream : IDisposable
{
    private readonly CompressionSettings _settings;
    private readonly IReadOnlyList<MatrixRange> _matrices;
    private readonly ulong _stream;
    private readonly ResidualStore? _residuals;
    private readonly string _name;
    private readonly int _length;
    private ICompressor? _compressor;
    private bool _owes;

    /// <param name="settings">Compression.</param>
    /// <param name="length">Elements of the span.</param>
    /// <param name="matrices">Matrices in the span.</param>
    /// <param name="name">Name of the transfer.</param>
    /// <param name="residual">Name of what it loses.</param>
    /// <param name="seed">Of the run; with the transfer's name it makes the random numbers.</param>
    /// <param name="residuals">Where the end that sends keeps what it lost; null at the end that receives.</param>
    internal SpanStream(CompressionSettings settings, int length, IReadOnlyList<MatrixRange> matrices, string name, string residual, ulong seed, ResidualStore? residuals)
    {
        (_settings, _length, _matrices, _name, _residuals) = (settings, length, matrices, residual, residuals);
        _stream = Philox.Key(seed, name);
        var compresses = settings.Kind != CompressionKind.None;
        // Where nothing is to be compressed something may still be owed of steps in which it was.
        if (residuals is not null && settings.ErrorFeedback && (compresses || residuals.Holds(_name))) _owes = residuals.Of(_name, length).ContainsAnyExcept(0f);
        // Factors of a kind that was set while the run went on are asked for too, before what nobody asks for is forgotten.
        if (residuals?.Holds(FactorsOf(_name)) == true) _ = CompressorOf(CompressionKind.PowerSgd);
        if (compresses) _ = CompressorOf(settings.Kind);
    }

    /// <summary>Writes the values of a span.</summary>
    internal delegate void Filler(Span<float> values);

    /// <summary>Reads the values of a span.</summary>
    internal delegate void Reader(ReadOnlySpan<float> values);

    /// <summary>Whether the tensor that was made last stands for other values than were put in: fewer, or what was owed as well.</summary>
    internal bool HasAltered { get; private set; }

    /// <summary>Whether a step's values are compressed.</summary>
    internal bool LosesAt(long step) => _settings.KindAt(step) != CompressionKind.None;

    /// <summary>Whether what is sent in a step is what was put in, fp32 as it is.</summary>
    internal bool IsPlainAt(long step) => !LosesAt(step) && !_owes;

    /// <summary>Whether a tensor of the other end is what a step's values are sent as that are not compressed.</summary>
    internal bool IsPlain(Tensor tensor, long step) => !LosesAt(step) && tensor.dtype == ScalarType.Float32 && tensor.numel() == _length;

    /// <summary>A tensor to send, which the caller owns.</summary>
    /// <param name="step">Step.</param>
    /// <param name="fill">Writes the values, all of them.</param>
    /// <param name="roundingIndex">Names the random numbers, where a step has several of these tensors; null for the step's number.</param>
    internal Tensor Encode(long step, Filler fill, long? roundingIndex = null)
    {
        if (!LosesAt(step))
        {
            var whole = New(out var place);
            fill(place);
            return Owing(whole, place);
        }

        using var values = new FloatBuffer(_length);
        fill(values.Span);
        return Compressed(values.Span, step, roundingIndex);
    }

    /// <summary>The same of values that lie together somewhere: compressed they are read there.</summary>
    /// <param name="step">Step.</param>
    /// <param name="values">All of them; not where losses are kept.</param>
    /// <param name="roundingIndex">As for values that are written.</param>
    internal Tensor Encode(long step, ReadOnlySpan<float> values, long? roundingIndex = null)
    {
        if (LosesAt(step)) return Compressed(values, step, roundingIndex);
        var whole = New(out var place);
        values.CopyTo(place);
        return Owing(whole, place);
    }

    /// <summary>Shows the values that a tensor of the other end stands for.</summary>
    /// <exception cref="CompressionException">The tensor is not one that the other end could have sent.</exception>
    internal void Read(Tensor tensor, long step, Reader read)
    {
        if (!LosesAt(step))
        {
            read(Plain(tensor));
            return;
        }

        using var values = new FloatBuffer(_length);
        Decode(tensor, values.Span, step);
        read(values.Span);
    }

    /// <summary>Writes the values that a tensor of the other end stands for.</summary>
    /// <param name="tensor">The tensor; of a step that is not compressed it may be the memory of the values itself.</param>
    /// <param name="values">As many as the stream has.</param>
    /// <param name="step">Step.</param>
    /// <exception cref="CompressionException">The tensor is not one that the other end could have sent.</exception>
    internal void Decode(Tensor tensor, Span<float> values, long step)
    {
        if (!LosesAt(step))
        {
            var plain = Plain(tensor);
            // It may have been received there: exactly there, or elsewhere.
            if (!plain.Overlaps(values, out var distance) || distance != 0) plain.CopyTo(values);
            return;
        }

        if (tensor.dtype != ScalarType.Byte) throw new CompressionException($"Expected a compressed span, found {tensor.dtype}.");
        var compressor = CompressorOf(_settings.KindAt(step));
        compressor.Decompress(CompressedSpanCodec.Decode(tensor.bytes, compressor.Kind, values.Length), values);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        (_compressor as IDisposable)?.Dispose();
    }

    /// <summary>The compressor of a kind; it may change between two steps, and what was owed is owed on.</summary>
    private ICompressor CompressorOf(CompressionKind kind)
    {
        if (_compressor?.Kind == kind) return _compressor;
        (_compressor as IDisposable)?.Dispose();
        _compressor = (_settings with { Kind = kind }).Create(_length, _matrices, _stream);
        if (_residuals is not null && _compressor is PowerSgdCompressor { WarmStart.Length: > 0 } power) power.WarmStart.CopyTo(Factors(power, _residuals));
        return _compressor;
    }

    private Tensor New(out Span<float> values)
    {
        using var guard = no_grad();
        var tensor = empty(_length, ScalarType.Float32, CPU).DetachFromDisposeScope();
        values = MemoryMarshal.Cast<byte, float>(tensor.bytes);
        return tensor;
    }

    /// <summary>What is sent as it is, and what is owed with it.</summary>
    private Tensor Owing(Tensor tensor, Span<float> values)
    {
        HasAltered = _owes;
        PayBack(values);
        return tensor;
    }

    private Tensor Compressed(ReadOnlySpan<float> values, long step, long? roundingIndex)
    {
        using var guard = no_grad();
        HasAltered = true;
        return Compressed(CompressorOf(_settings.KindAt(step)), values, new RoundingKey(_stream, roundingIndex ?? step));
    }

    private Tensor Compressed(ICompressor compressor, ReadOnlySpan<float> values, RoundingKey key)
    {
        if (_residuals is not null && compressor is PowerSgdCompressor { WarmStart.Length: > 0 } former) _ = Factors(former, _residuals);
        var (start, most) = (CompressedSpanCodec.Overhead(compressor.Kind, values.Length), compressor.MaxByteCount(values.Length));
        var bytes = empty(start + most, ScalarType.Byte, CPU).DetachFromDisposeScope();
        var payload = bytes.bytes[start..];
        int byteCount;
        if (_residuals is { } residuals && _settings.ErrorFeedback)
        {
            _owes = true;
            byteCount = compressor.CompressWithFeedback(values, residuals.Of(_name, _length), payload, key);
        }
        else
        {
            byteCount = compressor.Compress(values, default, payload, key);
        }

        if (_residuals is not null && compressor is PowerSgdCompressor { WarmStart.Length: > 0 } power) power.WarmStart.CopyTo(_residuals.Of(FactorsOf(_name), power.WarmStart.Length));
        CompressedSpanCodec.WriteHead(bytes.bytes, compressor.Kind, values.Length, byteCount);
        if (byteCount == most) return bytes;
        // What is sent may be kept for long: not with the memory that it could have needed.
        using (bytes)
        {
            using var sent = bytes.narrow(0, 0, start + byteCount);
            return sent.clone().DetachFromDisposeScope();
        }
    }

    /// <summary>What was lost in compressed steps goes with the first one that is not.</summary>
    private void PayBack(Span<float> values)
    {
        if (!_owes || _residuals is null) return;
        var residual = _residuals.Of(_name, _length);
        SpanSum.Add(values, residual, values);
        residual.Clear();
        _owes = false;
    }

    /// <summary>Has the compressor go on from the factors that are kept; zeros are none, since they are new or were forgotten.</summary>
    private Span<float> Factors(PowerSgdCompressor power, ResidualStore residuals)
    {
        var kept = residuals.Of(FactorsOf(_name), power.WarmStart.Length);
        if (kept.ContainsAnyExcept(0f)) kept.CopyTo(power.WarmStart);
        else power.Restart();
        return kept;
    }

    private static string FactorsOf(string name) => name + ".factors";

    private ReadOnlySpan<float> Plain(Tensor tensor) => tensor.dtype == ScalarType.Float32 && tensor.numel() == _length
        ? MemoryMarshal.Cast<byte, float>(tensor.bytes)
        : throw new CompressionException($"Expected {_length} elements of fp32, found {tensor.numel()} of {tensor.dtype}.");
}
