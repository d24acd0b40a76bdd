using TorchSharp;

namespace Pipeline.Model.Numerics;

/// <summary>Process-wide settings of the native library, to be made before the first tensor exists.</summary>
public static class TorchRuntime
{
    private static readonly Lock Gate = new();
    private static bool s_initialized;

    /// <summary>
    /// Prepares the native heap (see <see cref="NativeHeap"/>) and lets operations use one thread until told otherwise. Idempotent.
    /// </summary>
    public static void Initialize()
    {
        lock (Gate)
        {
            if (s_initialized) return;
            s_initialized = true;
            NativeHeap.Prepare();
            torch.set_num_threads(1);
        }
    }

    /// <summary>Sets the intra-operation threads of the calling compute thread.</summary>
    public static void UseThreads(int count) => torch.set_num_threads(count);
}
