using System.Buffers;
using System.IO.Hashing;
using System.Text.Unicode;

namespace Pipeline.Data;

/// <summary>What reading a file through once showed.</summary>
/// <param name="Hash">XxHash128 of its bytes.</param>
/// <param name="FaultOffset">The first byte that is no UTF-8 text; null if all are.</param>
/// <param name="FaultDescription">What lies there.</param>
internal sealed record TextScan(UInt128 Hash, long? FaultOffset, string FaultDescription)
{
    private const int ChunkBytes = 1 << 18;

    /// <summary>Reads a file in chunks, hashes it and checks that it is UTF-8 without NUL bytes; stops at the first fault.</summary>
    public static TextScan Of(string path, CancellationToken cancellationToken)
    {
        byte[] bytes = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        char[] characters = ArrayPool<char>.Shared.Rent(ChunkBytes);
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0, FileOptions.SequentialScan);
            return Read(stream, bytes.AsSpan(0, ChunkBytes), characters, cancellationToken);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"The file {path} of the corpus cannot be read: {e.Message}", e);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
            ArrayPool<char>.Shared.Return(characters);
        }
    }

    private static TextScan Read(FileStream stream, Span<byte> bytes, Span<char> characters, CancellationToken cancellationToken)
    {
        XxHash128 hash = new();
        long chunkOffset = 0;
        int carriedCount = 0;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int readCount = stream.ReadAtLeast(bytes[carriedCount..], bytes.Length - carriedCount, throwOnEndOfStream: false);
            bool isLast = readCount < bytes.Length - carriedCount;
            hash.Append(bytes.Slice(carriedCount, readCount));
            ReadOnlySpan<byte> chunk = bytes[..(carriedCount + readCount)];
            OperationStatus status = Utf8.ToUtf16(chunk, characters, out int validCount, out _, replaceInvalidSequences: false, isFinalBlock: isLast);
            int nulIndex = chunk[..validCount].IndexOf((byte)0);
            if (nulIndex >= 0)
                return new TextScan(default, chunkOffset + nulIndex, "a NUL byte");
            if (status == OperationStatus.InvalidData || (isLast && validCount < chunk.Length))
                return new TextScan(default, chunkOffset + validCount, $"0x{chunk[validCount]:X2}, which is no UTF-8 there");
            if (isLast)
                return new TextScan(hash.GetCurrentHashAsUInt128(), null, "");
            // A character may be cut by the end of a chunk: its first bytes are looked at again with the next one.
            carriedCount = chunk.Length - validCount;
            chunk[validCount..].CopyTo(bytes);
            chunkOffset += validCount;
        }
    }
}
