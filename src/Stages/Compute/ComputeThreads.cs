namespace Pipeline.Stages;

/// <summary>
/// The compute threads of this process that are alive. A process that exits while one of them is inside the native library crashes, so
/// its exit asks them to stop and waits for them.
/// </summary>
internal static class ComputeThreads
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly Lock Gate = new();
    private static readonly HashSet<StageExecutor> Alive = [];
    private static bool s_isWatching;

    internal static void Register(StageExecutor executor)
    {
        lock (Gate)
        {
            Alive.Add(executor);
            if (s_isWatching) return;
            s_isWatching = true;
            AppDomain.CurrentDomain.ProcessExit += (_, _) => StopAll();
        }
    }

    internal static void Unregister(StageExecutor executor)
    {
        lock (Gate) Alive.Remove(executor);
    }

    /// <summary>Whether a compute thread of the process lives, and may own tensors.</summary>
    internal static bool IsAnyAlive
    {
        get
        {
            lock (Gate) return Alive.Count > 0;
        }
    }

    /// <summary>Whether every compute thread of the process waits for something.</summary>
    internal static bool AreAllWaiting()
    {
        lock (Gate) return Alive.All(executor => executor.IsWaiting);
    }

    /// <summary>What each compute thread of the process waits for, for people.</summary>
    internal static string Awaited()
    {
        lock (Gate) return string.Join("; ", Alive.Select(executor => executor.Standing));
    }

    private static void StopAll()
    {
        StageExecutor[] alive;
        lock (Gate) alive = [.. Alive];
        foreach (var executor in alive) executor.RequestStop();
        Task.WaitAll([.. alive.Select(executor => executor.Ended)], Patience);
    }
}
