using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Compression;

/// <summary>
/// Compresses one span step after step and adds what was lost to the next step's input (Seide et al. 2014; Karimireddy et al. 2019), so
/// that nothing is lost for good, only late. The residual belongs to a logical sender (a replica's bucket, or a shard's answer): it is
/// part of the checkpoint and moves with the sender, not with a process. Owns the residual; not thread-safe.
/// </summary>
public sealed class ErrorFeedback : IDisposable
{
    private readonly FloatBuffer _residual;

    /// <summary>A sender that has lost nothing yet.</summary>
    /// <param name="compressor">Stays the caller's.</param>
    /// <param name="length">Elements of the span.</param>
    public ErrorFeedback(ICompressor compressor, int length)
    {
        Compressor = compressor;
        _residual = new FloatBuffer(length);
        _residual.Span.Clear();
    }

    /// <summary>How it compresses.</summary>
    public ICompressor Compressor { get; }

    /// <summary>What was lost so far: to be saved and loaded.</summary>
    public Span<float> Residual => _residual.Span;

    /// <summary>Compresses input plus residual; the residual is then what that lost.</summary>
    /// <returns>Bytes written.</returns>
    public int Compress(ReadOnlySpan<float> input, Span<byte> payload, RoundingKey key)
    {
        SpanSum.Add(input, _residual.Span, _residual.Span);
        return Compressor.Compress(_residual.Span, _residual.Span, payload, key);
    }

    /// <inheritdoc/>
    public void Dispose() => _residual.Dispose();
}
