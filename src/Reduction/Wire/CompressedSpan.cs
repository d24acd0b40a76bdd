using Pipeline.Reduction.Compression;

namespace Pipeline.Reduction.Wire;

/// <summary>A compressed span on its way.</summary>
/// <param name="Kind">How it is compressed.</param>
/// <param name="ElementCount">Elements that it stands for.</param>
/// <param name="Payload">What a compressor wrote.</param>
public readonly record struct CompressedSpan(CompressionKind Kind, int ElementCount, ReadOnlyMemory<byte> Payload);
