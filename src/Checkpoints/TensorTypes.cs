using System.Collections.Frozen;

namespace Pipeline.Checkpoints;

/// <summary>
/// The element types that a safetensors file can hold, by the names the format gives them, and the arithmetic of shapes.
/// </summary>
public static class TensorTypes
{
    public const string F64 = "F64";
    public const string F32 = "F32";
    public const string BF16 = "BF16";
    public const string F16 = "F16";
    public const string I64 = "I64";
    public const string I32 = "I32";
    public const string I16 = "I16";
    public const string I8 = "I8";
    public const string U64 = "U64";
    public const string U32 = "U32";
    public const string U16 = "U16";
    public const string U8 = "U8";
    public const string Bool = "BOOL";

    /// <summary>More dimensions than any real tensor has; a bound against hostile headers.</summary>
    internal const int MaxDimensionCount = 32;

    private static readonly FrozenDictionary<string, int> s_byteCounts = new Dictionary<string, int>(StringComparer.Ordinal)
    {
        [F64] = 8, [F32] = 4, [BF16] = 2, [F16] = 2,
        [I64] = 8, [I32] = 4, [I16] = 2, [I8] = 1,
        [U64] = 8, [U32] = 4, [U16] = 2, [U8] = 1,
        [Bool] = 1,
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>Whether the format, as read here, knows the type.</summary>
    public static bool IsKnown(string dtype) => s_byteCounts.ContainsKey(dtype);

    /// <summary>Bytes of one element.</summary>
    /// <exception cref="ArgumentException">The type is not known.</exception>
    public static int ElementByteCount(string dtype) =>
        s_byteCounts.TryGetValue(dtype, out var count)
            ? count
            : throw new ArgumentException($"The element type '{dtype}' is not known; expected one of {string.Join(", ", s_byteCounts.Keys.Order(StringComparer.Ordinal))}.", nameof(dtype));

    /// <summary>Bytes of a whole tensor; an empty shape is a scalar.</summary>
    /// <exception cref="ArgumentException">The type is not known, a dimension is negative, or the size does not fit 64 bits.</exception>
    public static long ByteCount(string dtype, IReadOnlyList<long> shape) =>
        TryByteCount(ElementByteCount(dtype), shape, out var count)
            ? count
            : throw new ArgumentException($"The shape [{string.Join(", ", shape)}] is negative somewhere or too large for 64 bits.", nameof(shape));

    /// <summary>False where a dimension is negative or the product overflows; never throws on hostile shapes.</summary>
    internal static bool TryByteCount(int elementByteCount, IReadOnlyList<long> shape, out long byteCount)
    {
        byteCount = 0;
        if (shape.Any(size => size < 0))
            return false;
        if (shape.Contains(0))
            return true; // however large the other dimensions claim to be
        Int128 product = elementByteCount;
        foreach (var size in shape)
        {
            if ((product *= size) > long.MaxValue)
                return false;
        }

        byteCount = (long)product;
        return true;
    }
}
