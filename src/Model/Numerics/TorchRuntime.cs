using System.Runtime.InteropServices;
using TorchSharp;

namespace Pipeline.Model.Numerics;

/// <summary>Process-wide settings of the native library, to be made before the first tensor exists.</summary>
public static partial class TorchRuntime
{
    private const int MmapMax = -4;
    private const int TrimThreshold = -1;
    private const int ArenaMax = -8;
    private static readonly Lock Gate = new();
    private static bool s_initialized;

    /// <summary>
    /// Makes glibc keep freed blocks instead of returning them to the kernel: large activations otherwise fault their pages in anew at
    /// every operation (a step took 2 to 3 times as long). Linux with glibc only; elsewhere nothing is changed. Idempotent.
    /// </summary>
    public static void Initialize()
    {
        lock (Gate)
        {
            if (s_initialized) return;
            s_initialized = true;
            if (OperatingSystem.IsLinux())
            {
                try
                {
                    _ = MallocOption(MmapMax, 0);
                    _ = MallocOption(TrimThreshold, int.MaxValue);
                    _ = MallocOption(ArenaMax, 1);
                }
                catch (EntryPointNotFoundException)
                {
                    // musl has no mallopt; nothing to tune there.
                }
            }

            torch.set_num_threads(1);
        }
    }

    /// <summary>Sets the intra-operation threads of the calling compute thread.</summary>
    public static void UseThreads(int count) => torch.set_num_threads(count);

    [LibraryImport("libc", EntryPoint = "mallopt")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int MallocOption(int option, int value);
}
