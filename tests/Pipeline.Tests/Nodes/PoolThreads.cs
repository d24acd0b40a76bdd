namespace Pipeline.Tests.Nodes;

/// <summary>Whether the threads of this process's pool have anything to do.</summary>
internal static class PoolThreads
{
    // The test runner may hold some for as long as it lives: the fewest that were ever seen at work.
    private static int s_residents = int.MaxValue;

    /// <summary>
    /// Whether none is at work but the caller's and those that the test runner holds, and nothing waits for one. A thread counts from the moment at which it is
    /// asked for until it has found nothing more to do.
    /// </summary>
    internal static bool AreStill()
    {
        if (ThreadPool.PendingWorkItemCount > 0) return false;
        ThreadPool.GetMaxThreads(out var most, out _);
        ThreadPool.GetAvailableThreads(out var available, out _);
        var others = most - available - (Thread.CurrentThread.IsThreadPoolThread ? 1 : 0);
        s_residents = Math.Min(s_residents, others);
        return others <= s_residents;
    }
}
