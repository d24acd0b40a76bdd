using System.Runtime.InteropServices;

namespace Pipeline.Tests.Model;

/// <summary>What the C allocator has handed out: the memory that the tensor library's graphs hold, which no managed count shows. glibc only.</summary>
internal static partial class NativeBytes
{
    internal static long InUse()
    {
        var info = AllocatorInfo();
        return (long)(info.InUseBytes + info.MappedBytes);
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
