using Xunit;

namespace Pipeline.Tests;

/// <summary>How much managed memory something takes on the thread that does it.</summary>
internal static class Allocations
{
    /// <summary>
    /// Asserts that something takes little. Where it took more it is done again: what is made once in a process, such as the texts of exceptions, is no part of it,
    /// and which test comes first is chance.
    /// </summary>
    /// <param name="most">Bytes.</param>
    /// <param name="action">Does the same each time.</param>
    /// <param name="what">Names it.</param>
    internal static void AssertAtMost(long most, Action action, Func<string>? what = null)
    {
        var allocated = Of(action);
        if (allocated > most) allocated = Of(action);
        Assert.True(allocated <= most, $"{allocated} bytes were allocated, of at most {most}. {what?.Invoke()}");
    }

    private static long Of(Action action)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        action();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }
}
