using System.Globalization;
using System.Runtime.InteropServices;

namespace Pipeline.Stages;

/// <summary>
/// Files that are nothing but memory (<c>memfd_create</c>, Linux): another process of the same user on the same machine can map one as long as its maker has it open,
/// and keeps what lies in it when the maker is killed.
/// </summary>
internal static unsafe partial class MemoryFile
{
    private const int None = -1;
    private const uint CloseOnExecution = 1;
    private const uint AllowSealing = 2;
    private const int ReadOnly = 0;
    // Closed on execution; neither waited for nor made the process's terminal, whatever it may be.
    private const int Harmlessly = 0x80000 | 0x800 | 0x100;
    private const int AddSeals = 1033;
    private const int GetSeals = 1034;
    // No further seals, no shrinking, no growing: nobody who maps it can be made to read beyond its end.
    private const int AllSeals = 1 | 2 | 4;
    private const int End = 2;
    private const int ReadProtection = 1;
    private const int WriteProtection = 2;
    private const int Shared = 1;

    /// <summary>Whether this system has them.</summary>
    internal static bool IsSupported { get; } = OperatingSystem.IsLinux() && Environment.Is64BitProcess && Probe();

    /// <summary>Makes one of a fixed size; the caller closes it.</summary>
    /// <returns>Its descriptor, and where it is mapped for writing; null where there is no room for it.</returns>
    internal static (int Descriptor, nint Start)? Create(string name, long byteCount)
    {
        var descriptor = memfd_create(name, CloseOnExecution | AllowSealing);
        if (descriptor == None) return null;
        // Room for all of it is taken now: what is found to be missing at a write ends the process.
        if (ftruncate(descriptor, (nint)byteCount) == 0 && fallocate(descriptor, 0, 0, (nint)byteCount) == 0 && fcntl(descriptor, AddSeals, AllSeals) == 0 && Map(descriptor, byteCount, ReadProtection | WriteProtection) is { } start) return (descriptor, start);
        _ = close(descriptor);
        return null;
    }

    /// <summary>Maps a file of another process for reading; the caller unmaps it.</summary>
    /// <param name="process">The process.</param>
    /// <param name="descriptor">Its descriptor there.</param>
    /// <param name="name">Its name, by which it is known to be the one that is meant.</param>
    /// <param name="byteCount">Bytes that must lie in it.</param>
    /// <returns>Where it is mapped; null where it is not to be had, or is another one.</returns>
    internal static nint? Borrow(int process, int descriptor, string name, long byteCount)
    {
        var path = string.Create(CultureInfo.InvariantCulture, $"/proc/{process}/fd/{descriptor}");
        // On another machine, or in another container, it is anything: opening that could wait for ever.
        if (!IsMeant(path, name)) return null;
        var own = open(path, ReadOnly | Harmlessly);
        if (own == None) return null;
        try
        {
            // Of the file that is open now, whatever the path leads to by then. A file that cannot be sealed answers with -1.
            if (!IsMeant(string.Create(CultureInfo.InvariantCulture, $"/proc/self/fd/{own}"), name)) return null;
            var seals = fcntl(own, GetSeals, 0);
            if (seals == None || (seals & AllSeals) != AllSeals || lseek(own, 0, End) < byteCount) return null;
            return Map(own, byteCount, ReadProtection);
        }
        finally
        {
            _ = close(own);
        }
    }

    /// <summary>Ends a mapping.</summary>
    internal static void Unmap(nint start, long byteCount) => _ = munmap(start, (nuint)byteCount);

    /// <summary>Closes what <see cref="Create"/> made.</summary>
    internal static void Close(int descriptor) => _ = close(descriptor);

    private static bool IsMeant(string path, string name)
    {
        try
        {
            return new FileInfo(path).LinkTarget == $"/memfd:{name} (deleted)";
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static nint? Map(int descriptor, long byteCount, int protection)
    {
        var start = mmap(0, (nuint)byteCount, protection, Shared, descriptor, 0);
        return start == None ? null : start;
    }

    private static bool Probe()
    {
        try
        {
            if (Create("pipeline-probe", 1) is not var (descriptor, start)) return false;
            Unmap(start, 1);
            Close(descriptor);
            return true;
        }
        catch (EntryPointNotFoundException)
        {
            // A C library that is too old.
            return false;
        }
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int memfd_create(string name, uint flags);

    [LibraryImport("libc")]
    private static partial int ftruncate(int descriptor, nint length);

    [LibraryImport("libc")]
    private static partial int fallocate(int descriptor, int mode, nint offset, nint length);

    [LibraryImport("libc")]
    private static partial int fcntl(int descriptor, int command, int argument);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags);

    [LibraryImport("libc")]
    private static partial nint lseek(int descriptor, nint offset, int from);

    [LibraryImport("libc")]
    private static partial int close(int descriptor);

    [LibraryImport("libc")]
    private static partial nint mmap(nint start, nuint length, int protection, int flags, int descriptor, nint offset);

    [LibraryImport("libc")]
    private static partial int munmap(nint start, nuint length);
}
