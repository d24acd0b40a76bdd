using System.Buffers.Binary;

namespace Pipeline.Protocol.Wire;

/// <summary>
/// Holds MessagePack against the deepest nesting that a message of ours has, before anything else reads it. The library skips parts that it does not know by calling itself, level
/// by level, and a stack that overflows ends the process. Pure; one pass, no memory.
/// </summary>
internal static class NestingLimit
{
    /// <summary>Lists and maps that lie in each other; the protocol's deepest messages have about half as many.</summary>
    internal const int Deepest = 16;

    /// <summary>Whether the first value is nested deeper. Bytes that end too early are as deep as they are: whoever reads them finds the end.</summary>
    internal static bool IsExceeded(ReadOnlySpan<byte> bytes)
    {
        // Values that are still to come, by level.
        Span<long> left = stackalloc long[Deepest + 1];
        var depth = 0;
        left[0] = 1;
        while (true)
        {
            while (left[depth] == 0)
            {
                if (depth == 0) return false;
                depth--;
            }

            var (length, parts) = Token(bytes);
            if (length > bytes.Length) return false;
            bytes = bytes[(int)length..];
            left[depth]--;
            if (parts == 0) continue;
            if (depth == Deepest) return true;
            left[++depth] = parts;
        }
    }

    /// <summary>How many bytes a value takes without its parts, and how many parts follow; more bytes than there are where it is cut off.</summary>
    private static (long Length, long Parts) Token(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty) return (1, 0);
        return bytes[0] switch
        {
            <= 0x7F or >= 0xE0 or >= 0xC0 and <= 0xC3 => (1, 0),
            <= 0x8F => (1, 2 * (bytes[0] & 0x0F)),
            <= 0x9F => (1, bytes[0] & 0x0F),
            <= 0xBF => (1 + (bytes[0] & 0x1F), 0),
            0xC4 or 0xD9 => (2 + Number(bytes, 1), 0),
            0xC5 or 0xDA => (3 + Number(bytes, 2), 0),
            0xC6 or 0xDB => (5 + Number(bytes, 4), 0),
            0xC7 => (3 + Number(bytes, 1), 0),
            0xC8 => (4 + Number(bytes, 2), 0),
            0xC9 => (6 + Number(bytes, 4), 0),
            0xCC or 0xD0 => (2, 0),
            0xCD or 0xD1 => (3, 0),
            0xCA or 0xCE or 0xD2 => (5, 0),
            0xCB or 0xCF or 0xD3 => (9, 0),
            <= 0xD8 => (2 + (1L << (bytes[0] - 0xD4)), 0),
            0xDC => (3, Number(bytes, 2)),
            0xDD => (5, Number(bytes, 4)),
            0xDE => (3, 2 * Number(bytes, 2)),
            _ => (5, 2 * Number(bytes, 4)),
        };
    }

    /// <summary>The number behind the first byte; 0 where it is cut off, and so is the value then.</summary>
    private static long Number(ReadOnlySpan<byte> bytes, int size) => bytes.Length <= size ? 0 : size switch
    {
        1 => bytes[1],
        2 => BinaryPrimitives.ReadUInt16BigEndian(bytes[1..]),
        _ => BinaryPrimitives.ReadUInt32BigEndian(bytes[1..]),
    };
}
