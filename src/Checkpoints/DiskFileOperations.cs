using System.Runtime.InteropServices;

namespace Pipeline.Checkpoints;

/// <summary>The operations on a real disk.</summary>
internal sealed partial class DiskFileOperations : IFileOperations
{
    public void CreateFolder(string path) => Directory.CreateDirectory(path);

    public Stream CreateFile(string path, long byteCount)
    {
        try
        {
            return new FileStream(path, new FileStreamOptions
            {
                Mode = FileMode.Create,
                Access = FileAccess.Write,
                Share = FileShare.None,
                BufferSize = 0, // chunks are large already
                PreallocationSize = byteCount,
            });
        }
        catch (IOException exception) when (exception.GetType() == typeof(IOException) && FreeByteCount(path) < byteCount)
        {
            // The runtime says that no room could be reserved, but not by the system's code.
            throw new IOException($"{byteCount} bytes are needed, {FreeByteCount(path)} are free", NoSpaceLeft);
        }
    }

    public void FlushFile(Stream file) => ((FileStream)file).Flush(flushToDisk: true);

    public void Rename(string from, string to)
    {
        if (Directory.Exists(from))
            Directory.Move(from, to);
        else
            File.Move(from, to, overwrite: true);
    }

    public void FlushFolder(string path)
    {
        // Windows orders its directory changes itself and offers no flush of a folder.
        if (OperatingSystem.IsWindows())
            return;
        var descriptor = Open(path, flags: 0);
        if (descriptor < 0)
            throw Fault(path);
        try
        {
            if (Synchronize(descriptor) != 0 && Marshal.GetLastPInvokeError() != InvalidArgument)
                throw Fault(path);
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    public void DeleteFile(string path) => File.Delete(path);

    public void DeleteFolder(string path) => Directory.Delete(path, recursive: true);

    // Some network file systems refuse fsync on a folder with EINVAL; they write such changes through.
    private const int InvalidArgument = 22;
    private const int NoSpaceLeft = 28;

    private static long FreeByteCount(string path) => new DriveInfo(Path.GetDirectoryName(path)!).AvailableFreeSpace;

    private static IOException Fault(string path)
    {
        var code = Marshal.GetLastPInvokeError();
        return new IOException($"Cannot flush the folder {path}: {Marshal.GetPInvokeErrorMessage(code)}", code);
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Synchronize(int descriptor);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Close(int descriptor);
}
