using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Pipeline.Reduction.Compression;

/// <summary>128 levels of −8 to 7 in 64 bytes: byte j holds level j in its lower half and level j + 64 in its upper one.</summary>
internal static class NibblePacking
{
    /// <summary>Bytes of a block.</summary>
    internal const int PackedLength = BlockScale.BlockLength / 2;

    internal static void Pack(ReadOnlySpan<sbyte> levels, Span<byte> packed)
    {
        ref var source = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<sbyte, byte>(levels[..BlockScale.BlockLength]));
        ref var target = ref MemoryMarshal.GetReference(packed[..PackedLength]);
        var lowerHalf = Vector256.Create((byte)0x0F);
        for (nuint index = 0; index < PackedLength; index += 32)
        {
            var lower = Vector256.LoadUnsafe(ref source, index) & lowerHalf;
            var upper = Vector256.LoadUnsafe(ref source, index + PackedLength) & lowerHalf;
            // Shifted as 16-bit lanes: the masked upper halves leave nothing that could cross into the next byte.
            (lower | (upper.AsUInt16() << 4).AsByte()).StoreUnsafe(ref target, index);
        }
    }

    internal static void Unpack(ReadOnlySpan<byte> packed, Span<sbyte> levels)
    {
        ref var source = ref MemoryMarshal.GetReference(packed[..PackedLength]);
        ref var target = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<sbyte, byte>(levels[..BlockScale.BlockLength]));
        var (lowerHalf, sign) = (Vector256.Create((byte)0x0F), Vector256.Create((byte)0x08));
        for (nuint index = 0; index < PackedLength; index += 32)
        {
            var bytes = Vector256.LoadUnsafe(ref source, index);
            var lower = bytes & lowerHalf;
            var upper = (bytes.AsUInt16() >>> 4).AsByte() & lowerHalf;
            // (x ^ 8) − 8 extends the sign of four bits.
            ((lower ^ sign) - sign).StoreUnsafe(ref target, index);
            ((upper ^ sign) - sign).StoreUnsafe(ref target, index + PackedLength);
        }
    }
}
