namespace Pipeline.Reduction.Compression;

/// <summary>Unsigned numbers in groups of seven bits, the lowest first; each has one spelling, the shortest.</summary>
internal static class Varint
{
    private const int MaxByteCount = 5;

    internal static int Write(uint value, Span<byte> target)
    {
        var length = 0;
        for (; value >= 0x80; value >>= 7) target[length++] = (byte)(value | 0x80);
        target[length++] = (byte)value;
        return length;
    }

    /// <summary>Reads a number and moves on.</summary>
    /// <exception cref="CompressionException">The bytes end inside it, it is over 32 bits, or it is longer than it need be.</exception>
    internal static uint Read(ref ReadOnlySpan<byte> source)
    {
        ulong value = 0;
        for (var length = 0; length < Math.Min(MaxByteCount, source.Length); length++)
        {
            var part = source[length];
            value |= (ulong)(part & 0x7F) << (7 * length);
            if ((part & 0x80) != 0) continue;
            if (value > uint.MaxValue || (part == 0 && length > 0)) break;
            source = source[(length + 1)..];
            return (uint)value;
        }

        throw new CompressionException("A varint is cut off, longer than it need be, or over 32 bits.");
    }
}
