using System.IO.Hashing;
using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Links;

/// <summary>
/// Reads one frame's header and block from a connection: the header first, whole and judged, then the block straight into the rented
/// memory, hashed piece by piece while it is in the processor's cache.
/// </summary>
internal sealed class FrameReader(TransportReader reader, FrameLimits limits, bool needsChecksum)
{
    private const int SkipBytes = 64 * 1024;

    // So much is still in the processor's nearer cache when it is hashed, with the kernel's memory that it came from.
    private const int HashedBytes = 256 * 1024;

    private readonly WideHash _wide = new();
    private byte[]? _skipped;

    /// <summary>Reads and judges a header.</summary>
    /// <param name="length">Bytes that the record claims for it.</param>
    /// <exception cref="FrameException">It is broken or exceeds the limits.</exception>
    internal ParsedHeader ReadHeader(uint length)
    {
        if (length is 0 or > FrameHeaderCodec.MaxLength)
            throw new FrameException($"Tensor frame: a header of {length} bytes, expected 1 to {FrameHeaderCodec.MaxLength}.");
        var parsed = FrameHeaderCodec.Parse(reader.Take((int)length), limits);
        if (parsed.Length != length) throw new FrameException($"Tensor frame: a header of {parsed.Length} bytes in {length}.");
        if (needsChecksum && parsed.Checksum is null) throw new FrameException($"Tensor frame {parsed.Header.Key}: the checksum is missing.");
        return parsed;
    }

    /// <summary>Reads the block into a buffer.</summary>
    /// <returns>Whether it is what was sent; always true without a checksum.</returns>
    internal bool ReadBlock(in ParsedHeader parsed, IFrameBuffer buffer)
    {
        if (parsed is { Checksum: { } checksum, Header.Tensors.Count: 1 } && WideHash.PaysFor(parsed.BlockLength)) return Hash(parsed, buffer.BytesOf(0).Span) == checksum;
        var hash = parsed.Checksum is null ? null : new XxHash3(parsed.ChecksumSeed);
        long end = 0;
        for (var index = 0; index < parsed.Header.Tensors.Count; index++)
        {
            Skip(TensorFrame.PaddingAfter(end), hash);
            var bytes = buffer.BytesOf(index).Span;
            Fill(bytes, hash);
            end = TensorFrame.Aligned(end) + bytes.Length;
        }

        return hash is null || hash.GetCurrentHashAsUInt64() == parsed.Checksum;
    }

    /// <summary>Reads past a block that is not wanted.</summary>
    internal void SkipBlock(in ParsedHeader parsed)
    {
        for (var left = parsed.BlockLength; left > 0;) left -= Skip((int)Math.Min(left, SkipBytes), null);
    }

    private ulong Hash(in ParsedHeader parsed, Span<byte> block)
    {
        _wide.Begin(parsed.ChecksumSeed, block.Length);
        for (var filled = 0; filled < block.Length;)
        {
            filled += reader.Read(block[filled..], HashedBytes);
            _wide.Advance(block[..filled]);
        }

        return _wide.Finish(block);
    }

    private void Fill(Span<byte> bytes, XxHash3? hash)
    {
        while (!bytes.IsEmpty)
        {
            var count = reader.Read(bytes, hash is null ? int.MaxValue : HashedBytes);
            hash?.Append(bytes[..count]);
            bytes = bytes[count..];
        }
    }

    private int Skip(int count, XxHash3? hash)
    {
        if (count == 0) return 0;
        _skipped ??= GC.AllocateUninitializedArray<byte>(SkipBytes);
        Fill(_skipped.AsSpan(0, count), hash);
        return count;
    }
}
