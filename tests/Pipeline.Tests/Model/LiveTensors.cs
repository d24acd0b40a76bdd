using Pipeline.Stages;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Model;

/// <summary>The process's live tensors, for tests that hold a piece of work to leave as many as it found.</summary>
internal static class LiveTensors
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>
    /// How many there are once nothing of earlier tests is left for the garbage collector, and no stage of them is about to end. Without it a collection in the
    /// midst of a test lets go of an earlier test's tensors, and the count falls by them.
    /// </summary>
    internal static long Settle()
    {
        Assert.True(SpinWait.SpinUntil(() => !ComputeThreads.IsAnyAlive, Patience), ComputeThreads.Awaited());
        // A finaliser may let go of what only the next collection sees, so two in a row must agree.
        for (var count = Collect(); ;)
        {
            var again = Collect();
            if (again == count) return count;
            count = again;
        }
    }

    private static long Collect()
    {
#pragma warning disable RS0030 // The product may not lean on the collector; a test that counts what it left may.
        GC.Collect();
#pragma warning restore RS0030
        GC.WaitForPendingFinalizers();
        return torch.Tensor.TotalCount;
    }
}
