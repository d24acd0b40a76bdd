using System.Buffers.Binary;
using System.Numerics;

namespace Pipeline.Runs;

/// <summary>
/// The framing of TensorBoard's event files (TFRecord): length, its masked CRC-32C, the bytes, their masked CRC-32C, all little-endian.
/// </summary>
internal static class TensorBoardRecord
{
    internal const int HeaderByteCount = sizeof(ulong) + sizeof(uint);
    private const uint MaskDelta = 0xa282ead8;

    internal static byte[] Frame(ReadOnlySpan<byte> data)
    {
        var record = new byte[HeaderByteCount + data.Length + sizeof(uint)];
        BinaryPrimitives.WriteUInt64LittleEndian(record, (ulong)data.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(sizeof(ulong)), MaskedChecksum(record.AsSpan(0, sizeof(ulong))));
        data.CopyTo(record.AsSpan(HeaderByteCount));
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(HeaderByteCount + data.Length), MaskedChecksum(data));
        return record;
    }

    /// <summary>CRC-32C, rotated and shifted, since the CRC of data that holds its own CRC is no good check.</summary>
    internal static uint MaskedChecksum(ReadOnlySpan<byte> data)
    {
        var checksum = Checksum(data);
        return BitOperations.RotateRight(checksum, 15) + MaskDelta;
    }

    /// <summary>CRC-32C (Castagnoli), as the processor's instruction or its software substitute computes it.</summary>
    internal static uint Checksum(ReadOnlySpan<byte> data)
    {
        var checksum = uint.MaxValue;
        for (; data.Length >= sizeof(ulong); data = data[sizeof(ulong)..])
            checksum = BitOperations.Crc32C(checksum, BinaryPrimitives.ReadUInt64LittleEndian(data));
        foreach (var value in data)
            checksum = BitOperations.Crc32C(checksum, value);
        return ~checksum;
    }
}
