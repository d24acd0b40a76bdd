using System.Buffers;
using System.IO.Hashing;

namespace Pipeline.Checkpoints;

/// <summary>
/// An open checkpoint: logical tensors by name, from whichever files hold them. Any number of stages reads any checkpoint.
/// It owns the open files; reading is safe for many threads.
/// </summary>
public sealed class CheckpointReader : IDisposable
{
    private const int ChunkByteCount = 1 << 20;

    private readonly Dictionary<string, SafetensorsReader> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, LogicalTensor> _tensors;

    internal CheckpointReader(string folder, CheckpointManifest manifest)
    {
        Folder = folder;
        Manifest = manifest;
        _tensors = manifest.Tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        try
        {
            foreach (var file in manifest.Files.Where(file => CheckpointFileName.HoldsTensors(file.Name)))
                _files.Add(file.Name, SafetensorsReader.Open(Path.Combine(folder, file.Name)));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Where it lies.</summary>
    public string Folder { get; }

    /// <summary>What it says about itself.</summary>
    public CheckpointManifest Manifest { get; }

    /// <summary>Steps committed before it was taken.</summary>
    public long Step => Manifest.Step;

    /// <summary>Every tensor by its name.</summary>
    public IReadOnlyDictionary<string, LogicalTensor> Tensors => _tensors;

    /// <summary>Bytes of a tensor.</summary>
    public long ByteCount(string name) => TensorTypes.ByteCount(Tensor(name).DType, Tensor(name).Shape);

    /// <summary>Copies bytes of a tensor from <paramref name="offset"/> on, until the destination is full. Hashes are not checked here.</summary>
    /// <exception cref="CheckpointException">There is no such tensor, or a file ended early.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The range passes the tensor's end.</exception>
    public void ReadInto(string name, long offset, Span<byte> destination)
    {
        var tensor = Tensor(name);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, ByteCount(name) - offset);
        long start = 0;
        foreach (var slice in tensor.Slices)
        {
            var end = start + tensor.ByteCountOf(slice.Count);
            if (offset < end && destination.Length > 0)
            {
                var count = (int)Math.Min(destination.Length, end - offset);
                _files[slice.File].ReadTensor(slice.Tensor, offset - start, destination[..count]);
                destination = destination[count..];
                offset += count;
            }

            start = end;
        }
    }

    /// <summary>Hands the bytes of a tensor over, in order and in chunks, and holds them against the manifest's hash on the way.</summary>
    /// <exception cref="CheckpointException">There is no such tensor, or its bytes are not those that were saved; what was handed over is then worthless.</exception>
    public void Read(string name, ReceiveBytes receive)
    {
        var tensor = Tensor(name);
        var buffer = ArrayPool<byte>.Shared.Rent(ChunkByteCount);
        try
        {
            long start = 0;
            foreach (var slice in tensor.Slices)
                start = ReadSlice(tensor, slice, start, buffer, receive);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in _files.Values)
            file.Dispose();
        _files.Clear();
    }

    private long ReadSlice(LogicalTensor tensor, TensorSlice slice, long start, byte[] buffer, ReceiveBytes receive)
    {
        var file = _files[slice.File];
        var byteCount = tensor.ByteCountOf(slice.Count);
        var hash = new XxHash128();
        for (long done = 0; done < byteCount; done += buffer.Length)
        {
            var chunk = buffer.AsSpan(0, (int)Math.Min(buffer.Length, byteCount - done));
            file.ReadTensor(slice.Tensor, done, chunk);
            hash.Append(chunk);
            receive(start + done, chunk);
        }

        return ContentHash.Text(hash) == slice.Hash
            ? start + byteCount
            : throw CheckpointException.Damaged(file.Path, $"tensor '{slice.Tensor}' has the hash {ContentHash.Text(hash)}, its manifest says {slice.Hash}");
    }

    private LogicalTensor Tensor(string name) => _tensors.TryGetValue(name, out var tensor)
        ? tensor
        : throw new CheckpointException($"The checkpoint {Folder} holds no tensor '{name}': it was saved from another model.");
}
