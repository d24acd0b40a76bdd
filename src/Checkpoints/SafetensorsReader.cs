using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace Pipeline.Checkpoints;

/// <summary>
/// Reads tensors out of one safetensors file, by name and by range. The header is validated completely when the file is opened.
/// Positioned reads are used, not a memory map: a map of a file that is cut off under us would kill the process. Safe for many threads.
/// </summary>
public sealed class SafetensorsReader : IDisposable
{
    private readonly SafeFileHandle _handle;
    private readonly Dictionary<string, SafetensorsEntry> _entries;

    private SafetensorsReader(string path, SafeFileHandle handle, SafetensorsHeader header)
    {
        Path = path;
        _handle = handle;
        Header = header;
        _entries = header.Entries.ToDictionary(entry => entry.Name, StringComparer.Ordinal);
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>What the file holds.</summary>
    public SafetensorsHeader Header { get; }

    /// <summary>Opens a file and validates its header.</summary>
    /// <exception cref="CheckpointException">The file is missing, unreadable, cut off or not consistent.</exception>
    public static SafetensorsReader Open(string path)
    {
        SafeFileHandle? handle = null;
        try
        {
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            return new SafetensorsReader(path, handle, ReadHeader(path, handle));
        }
        catch (Exception exception)
        {
            handle?.Dispose();
            if (CheckpointException.IsFileFault(exception))
                throw CheckpointException.WhileReading(path, exception);
            throw;
        }
    }

    /// <summary>Where a tensor lies.</summary>
    /// <exception cref="CheckpointException">The file has no such tensor.</exception>
    public SafetensorsEntry Entry(string name) =>
        _entries.TryGetValue(name, out var entry) ? entry : throw new CheckpointException($"{Path} holds no tensor '{name}'.");

    /// <summary>Copies bytes of a tensor from <paramref name="offset"/> on, until the destination is full.</summary>
    /// <exception cref="CheckpointException">No such tensor, or the file ended early.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The range passes the tensor's end.</exception>
    public void ReadTensor(string name, long offset, Span<byte> destination)
    {
        var entry = Entry(name);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, entry.ByteCount - offset);
        ReadAt(Header.DataStart + entry.Start + offset, destination);
    }

    /// <summary>Reads bytes of the file as they lie.</summary>
    internal void ReadAt(long position, Span<byte> destination)
    {
        try
        {
            Fill(Path, _handle, position, destination);
        }
        catch (Exception exception) when (CheckpointException.IsFileFault(exception))
        {
            throw CheckpointException.WhileReading(Path, exception);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();

    private static SafetensorsHeader ReadHeader(string path, SafeFileHandle handle)
    {
        var fileByteCount = RandomAccess.GetLength(handle);
        if (fileByteCount < SafetensorsHeader.LengthByteCount)
            throw CheckpointException.Damaged(path, $"it has {fileByteCount} bytes, a safetensors file has at least {SafetensorsHeader.LengthByteCount}");
        Span<byte> length = stackalloc byte[SafetensorsHeader.LengthByteCount];
        Fill(path, handle, 0, length);
        var headerByteCount = BinaryPrimitives.ReadUInt64LittleEndian(length);
        if (headerByteCount > SafetensorsHeader.MaxByteCount)
            throw CheckpointException.Damaged(path, $"its header claims {headerByteCount} bytes, at most {SafetensorsHeader.MaxByteCount} are allowed");
        var dataByteCount = fileByteCount - SafetensorsHeader.LengthByteCount - (long)headerByteCount;
        if (dataByteCount < 0)
            throw CheckpointException.Damaged(path, $"its header claims {headerByteCount} bytes, the file has {fileByteCount}; the file is cut off");
        var json = new byte[headerByteCount];
        Fill(path, handle, SafetensorsHeader.LengthByteCount, json);
        return SafetensorsHeaderParser.Parse(json, dataByteCount, path);
    }

    private static void Fill(string path, SafeFileHandle handle, long position, Span<byte> destination)
    {
        while (destination.Length > 0)
        {
            var count = RandomAccess.Read(handle, destination, position);
            if (count == 0)
                throw CheckpointException.Damaged(path, $"it ends at byte {position}, {destination.Length} more were expected");
            position += count;
            destination = destination[count..];
        }
    }
}
