using System.Runtime.InteropServices;

namespace Pipeline.Model.Numerics;

/// <summary>
/// What the C allocator has handed out, over all its arenas: the memory that the tensor library's graphs hold, which no managed count shows
/// and which the resident size shows only while the heap grows. glibc from 2.33 only.
/// </summary>
public static partial class NativeBytes
{
    /// <summary>Bytes in use; null where the allocator cannot say.</summary>
    public static long? InUse()
    {
        if (!OperatingSystem.IsLinux()) return null;
        try
        {
            var info = AllocatorInfo();
            return (long)(info.InUseBytes + info.MappedBytes);
        }
        catch (EntryPointNotFoundException)
        {
            return null;
        }
    }

    [LibraryImport("libc", EntryPoint = "mallinfo2")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial MallInfo AllocatorInfo();

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct MallInfo
    {
        private readonly nuint _arena;
        private readonly nuint _freeChunks;
        private readonly nuint _fastFreeChunks;
        private readonly nuint _mappedRegions;
        public readonly nuint MappedBytes;
        private readonly nuint _unused;
        private readonly nuint _fastFreeBytes;
        public readonly nuint InUseBytes;
        private readonly nuint _freeBytes;
        private readonly nuint _releasableBytes;
    }
}
