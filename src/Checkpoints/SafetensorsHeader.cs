namespace Pipeline.Checkpoints;

/// <summary>Where one tensor lies in a safetensors file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">One of <see cref="TensorTypes"/>.</param>
/// <param name="Shape">Sizes of the dimensions.</param>
/// <param name="Start">First byte, counted from the beginning of the data, not of the file.</param>
/// <param name="ByteCount">Bytes it takes.</param>
public sealed record SafetensorsEntry(string Name, string DType, IReadOnlyList<long> Shape, long Start, long ByteCount);

/// <summary>
/// The validated header of a safetensors file: entries in the order of the data, which they cover without gap or overlap.
/// The format is Hugging Face's: a 64-bit little-endian header length, the JSON header, the data.
/// </summary>
/// <param name="Entries">In the order of the data.</param>
/// <param name="Metadata">The strings of <c>__metadata__</c>.</param>
/// <param name="DataStart">Position of the first data byte in the file.</param>
public sealed record SafetensorsHeader(IReadOnlyList<SafetensorsEntry> Entries, IReadOnlyDictionary<string, string> Metadata, long DataStart)
{
    /// <summary>The format's own bound on the header.</summary>
    internal const long MaxByteCount = 100_000_000;

    /// <summary>A bound of ours, so that a hostile header cannot ask for unbounded memory.</summary>
    internal const int MaxEntryCount = 1_000_000;

    internal const int LengthByteCount = sizeof(ulong);
    internal const string MetadataName = "__metadata__";
}
