using System.Runtime.InteropServices;

namespace Pipeline.Reduction.Compression;

/// <summary>fp32 in little-endian order, 4 bytes an element; nothing is lost.</summary>
public sealed class Uncompressed : ICompressor
{
    /// <inheritdoc/>
    public CompressionKind Kind => CompressionKind.None;

    /// <inheritdoc/>
    public int MaxByteCount(int length) => checked(length * sizeof(float));

    /// <inheritdoc/>
    public int Compress(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key)
    {
        var bytes = MemoryMarshal.AsBytes(input);
        bytes.CopyTo(payload);
        residual.Clear();
        return bytes.Length;
    }

    /// <inheritdoc/>
    public void Decompress(ReadOnlySpan<byte> payload, Span<float> output)
    {
        PayloadLength.Require(Kind, payload.Length, MaxByteCount(output.Length));
        payload.CopyTo(MemoryMarshal.AsBytes(output));
    }
}

/// <summary>The check of payloads whose length follows from the number of elements.</summary>
internal static class PayloadLength
{
    internal static void Require(CompressionKind kind, int found, int expected)
    {
        if (found != expected) throw new CompressionException($"A {kind} payload of this many elements has {expected} bytes, found {found}.");
    }
}
