using System.Buffers;
using System.IO.Hashing;

namespace Pipeline.Checkpoints;

/// <summary>
/// Decides whether a checkpoint's folder is what its manifest says, and names the first file and tensor that are not.
/// Structure (sizes, headers, the step written into each file) costs nothing; contents read every byte.
/// </summary>
internal static class CheckpointVerifier
{
    internal const string StepKey = "step";
    private const int ChunkByteCount = 1 << 20;

    /// <exception cref="CheckpointException">The manifest is missing, altered, hostile, or of another step.</exception>
    internal static CheckpointManifest ReadManifest(CheckpointFolder folder)
    {
        var path = folder.ManifestPath;
        RequireRealFile(path);
        try
        {
            var byteCount = new FileInfo(path).Length;
            if (byteCount > ManifestText.MaxByteCount)
                throw CheckpointException.Damaged(path, $"it has {byteCount} bytes, a manifest at most {ManifestText.MaxByteCount}");
            var manifest = ManifestText.Read(File.ReadAllBytes(path), path);
            return manifest.Step == folder.Step
                ? manifest
                : throw CheckpointException.Damaged(path, $"it is the manifest of step {manifest.Step}, in the folder of step {folder.Step}");
        }
        catch (Exception exception) when (CheckpointException.IsFileFault(exception))
        {
            throw CheckpointException.WhileReading(path, exception);
        }
    }

    /// <exception cref="CheckpointException">The first disagreement, by file and tensor.</exception>
    internal static void Verify(CheckpointFolder folder, CheckpointManifest manifest, bool contents)
    {
        var slicesByFile = manifest.Tensors
            .SelectMany(tensor => tensor.Slices.Select(slice => (Tensor: tensor, Slice: slice)))
            .ToLookup(pair => pair.Slice.File, StringComparer.Ordinal);
        foreach (var file in manifest.Files)
        {
            var path = Path.Combine(folder.Path, file.Name);
            RequireRealFile(path);
            RequireSize(path, file);
            if (CheckpointFileName.HoldsTensors(file.Name))
                VerifyTensors(path, file, manifest.Step, [.. slicesByFile[file.Name]], contents);
            else if (contents)
                VerifyBytes(path, file);
        }
    }

    private static void RequireRealFile(string path)
    {
        var info = new FileInfo(path);
        if (info.LinkTarget is not null || new DirectoryInfo(Path.GetDirectoryName(path)!).LinkTarget is not null)
            throw CheckpointException.Damaged(path, "it is, or lies behind, a symbolic link, which a checkpoint may not contain");
        if (!info.Exists)
            throw CheckpointException.Damaged(path, "the file is missing");
    }

    private static void RequireSize(string path, CheckpointFile file)
    {
        var byteCount = new FileInfo(path).Length;
        if (byteCount != file.ByteCount)
            throw CheckpointException.Damaged(path, $"it has {byteCount} bytes, its manifest says {file.ByteCount}{(byteCount < file.ByteCount ? "; the file is cut off" : "")}");
    }

    private static void VerifyTensors(string path, CheckpointFile file, long step, (LogicalTensor Tensor, TensorSlice Slice)[] slices, bool contents)
    {
        using var reader = SafetensorsReader.Open(path);
        if (reader.Header.Metadata.TryGetValue(StepKey, out var stepText) && stepText != FormattableString.Invariant($"{step}"))
            throw CheckpointException.Damaged(path, $"it was written for step {stepText}, its manifest is of step {step}: files of two checkpoints were mixed up");
        var expectedHashes = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (tensor, slice) in slices)
        {
            RequireEntry(path, reader.Entry(slice.Tensor), tensor, slice);
            expectedHashes[slice.Tensor] = slice.Hash;
        }

        if (contents)
            VerifyContents(reader, file, expectedHashes);
    }

    private static void RequireEntry(string path, SafetensorsEntry entry, LogicalTensor tensor, TensorSlice slice)
    {
        long[] shape = tensor.Shape.Count == 0 ? [] : [slice.Count, .. tensor.Shape.Skip(1)];
        if (entry.DType != tensor.DType || !entry.Shape.SequenceEqual(shape))
            throw CheckpointException.Damaged(path, $"tensor '{entry.Name}' is {entry.DType} [{string.Join(", ", entry.Shape)}], its manifest says {tensor.DType} [{string.Join(", ", shape)}]");
    }

    private static void VerifyContents(SafetensorsReader reader, CheckpointFile file, Dictionary<string, string> expectedHashes)
    {
        var fileHash = new XxHash128();
        var buffer = ArrayPool<byte>.Shared.Rent(ChunkByteCount);
        try
        {
            Hash(reader, 0, reader.Header.DataStart, buffer, fileHash, null);
            foreach (var entry in reader.Header.Entries)
            {
                var tensorHash = new XxHash128();
                Hash(reader, reader.Header.DataStart + entry.Start, entry.ByteCount, buffer, fileHash, tensorHash);
                if (expectedHashes.TryGetValue(entry.Name, out var expected) && ContentHash.Text(tensorHash) != expected)
                    throw CheckpointException.Damaged(reader.Path, $"tensor '{entry.Name}' has the hash {ContentHash.Text(tensorHash)}, its manifest says {expected}");
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        if (ContentHash.Text(fileHash) != file.Hash)
            throw CheckpointException.Damaged(reader.Path, $"the file has the hash {ContentHash.Text(fileHash)}, its manifest says {file.Hash}, though each tensor agrees: its header was altered");
    }

    private static void Hash(SafetensorsReader reader, long start, long byteCount, byte[] buffer, XxHash128 whole, XxHash128? part)
    {
        for (long done = 0; done < byteCount; done += buffer.Length)
        {
            var chunk = buffer.AsSpan(0, (int)Math.Min(buffer.Length, byteCount - done));
            reader.ReadAt(start + done, chunk);
            whole.Append(chunk);
            part?.Append(chunk);
        }
    }

    private static void VerifyBytes(string path, CheckpointFile file)
    {
        try
        {
            using var stream = File.OpenRead(path);
            var hash = new XxHash128();
            hash.Append(stream);
            if (ContentHash.Text(hash) != file.Hash)
                throw CheckpointException.Damaged(path, $"it has the hash {ContentHash.Text(hash)}, its manifest says {file.Hash}");
        }
        catch (Exception exception) when (CheckpointException.IsFileFault(exception))
        {
            throw CheckpointException.WhileReading(path, exception);
        }
    }
}
