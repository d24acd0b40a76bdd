using System.Runtime.InteropServices;

namespace Pipeline.Protocol.Links;

/// <summary>
/// Threads that give way to those that compute: what nobody waits for is done while these wait for each other, in the bubbles of the schedule,
/// rather than in their time. Under load they still get about a tenth of a core.
/// </summary>
public static partial class QuietThread
{
    // Nice 10 weighs 110 where 0 weighs 1,024. The system cannot be asked to undo it, hence never on a thread of the pool.
    private const int Niceness = 10;

    /// <summary>Computes on a quiet thread of its own.</summary>
    public static Task<T> RunAsync<T>(string name, Func<T> work)
    {
        TaskCompletionSource<T> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() =>
        {
            try
            {
                Begin();
                done.SetResult(work());
            }
#pragma warning disable CA1031 // Whatever it is, it is for whoever waits.
            catch (Exception fault)
#pragma warning restore CA1031
            {
                done.SetException(fault);
            }
        }) { IsBackground = true, Name = name }.Start();
        return done.Task;
    }

    /// <summary>Makes the calling thread a quiet one, for good. Changes nothing where the system has no such thing for one thread.</summary>
    internal static void Begin()
    {
        // Who = 0 is the calling thread on Linux, the whole process elsewhere. A refusal leaves the thread as it was.
        if (OperatingSystem.IsLinux()) _ = SetPriority(0, 0, Niceness);
    }

    [LibraryImport("libc", EntryPoint = "setpriority")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int SetPriority(int which, int who, int niceness);
}
