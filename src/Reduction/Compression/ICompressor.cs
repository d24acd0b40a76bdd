using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Compression;

/// <summary>The kinds of <c>compression.kind</c>.</summary>
public enum CompressionKind
{
    /// <summary>fp32 as it is.</summary>
    None = 0,

    /// <summary>bfloat16: half the bytes.</summary>
    BFloat16 = 1,

    /// <summary>Blocks of 128 with one scale, 8 bits an element.</summary>
    Int8 = 2,

    /// <summary>Blocks of 128 with one scale, 4 bits an element.</summary>
    Int4 = 3,

    /// <summary>The largest elements, exactly, and where they are.</summary>
    TopK = 4,

    /// <summary>Matrices as products of two thin ones.</summary>
    PowerSgd = 5,

    /// <summary>Signs, with one magnitude for each 512 elements.</summary>
    OneBit = 6,

    /// <summary>No form of its own and never sent: int8 where a trial shows that it pays, else nothing.</summary>
    Automatic = 7,
}

/// <summary>How an element between two levels is rounded.</summary>
public enum Rounding
{
    /// <summary>To the nearer one, ties to even: biased towards levels, so the residual must be carried on.</summary>
    Nearest,

    /// <summary>Up with the probability of its place between the two: unbiased, seeded, the same in every replay.</summary>
    Stochastic,
}

/// <summary>
/// Turns a span of fp32 into fewer bytes and back. What was lost is the residual: input minus what <see cref="Decompress"/> gives on any
/// machine. Values that are not finite are never hidden: they come out as not finite.
/// Implementations hold no residual; those that hold anything say so.
/// </summary>
public interface ICompressor
{
    /// <summary>What it is called.</summary>
    CompressionKind Kind { get; }

    /// <summary>Most bytes that a span of so many elements takes.</summary>
    int MaxByteCount(int length);

    /// <summary>Writes the compressed form.</summary>
    /// <param name="input">The elements.</param>
    /// <param name="residual">Takes what was lost: as long as the input, or the input's own memory, or empty where nobody wants it.</param>
    /// <param name="payload">At least <see cref="MaxByteCount"/> bytes.</param>
    /// <param name="key">Names the random numbers of stochastic rounding.</param>
    /// <returns>Bytes written.</returns>
    int Compress(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key);

    /// <summary>
    /// Compresses input plus residual, each sum rounded once; the residual is then what that lost. So what was lost in one step is added to the next step's input (Seide et al. 2014;
    /// Karimireddy et al. 2019), and nothing is lost for good, only late. The residual belongs to a logical sender (a replica's bucket, or a shard's answer) and moves with it, not with
    /// a process. The bits are those of adding first; compressors that go through a span block by block add each as they come to it.
    /// </summary>
    /// <param name="input">The elements.</param>
    /// <param name="residual">What was lost so far, as long as the input, elsewhere; zeros before the first step.</param>
    /// <param name="payload">At least <see cref="MaxByteCount"/> bytes.</param>
    /// <param name="key">Names the random numbers of stochastic rounding.</param>
    /// <returns>Bytes written.</returns>
    int CompressWithFeedback(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key)
    {
        SpanSum.Add(input, residual, residual);
        return Compress(residual, residual, payload, key);
    }

    /// <summary>Writes the elements that the payload stands for. Reads nothing beyond the payload, whatever it says.</summary>
    /// <exception cref="CompressionException">The payload is not one of a span of this length.</exception>
    void Decompress(ReadOnlySpan<byte> payload, Span<float> output);
}

/// <summary>Bytes that claim to be a compressed span are not a valid one.</summary>
/// <param name="message">What was expected and what was found.</param>
/// <param name="cause">The fault of the encoding, if that is it.</param>
public sealed class CompressionException(string message, Exception? cause = null) : Exception(message, cause);
