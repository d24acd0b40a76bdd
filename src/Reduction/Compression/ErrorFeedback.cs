using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Compression;

/// <summary>
/// Adds what was lost in one step to the next step's input (Seide et al. 2014; Karimireddy et al. 2019), so that nothing is lost for good,
/// only late. The residual belongs to a logical sender (a replica's bucket, or a shard's answer) and moves with it, not with a process.
/// </summary>
public static class ErrorFeedback
{
    /// <summary>Compresses input plus residual; the residual is then what that lost.</summary>
    /// <param name="compressor">How.</param>
    /// <param name="input">The span.</param>
    /// <param name="residual">What was lost so far, as long as the input; zeros before the first step.</param>
    /// <param name="payload">At least <see cref="ICompressor.MaxByteCount"/> bytes.</param>
    /// <param name="key">Names the random numbers.</param>
    /// <returns>Bytes written.</returns>
    public static int Compress(ICompressor compressor, ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key)
    {
        SpanSum.Add(input, residual, residual);
        return compressor.Compress(residual, residual, payload, key);
    }
}
