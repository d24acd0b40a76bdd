using System.Runtime.ExceptionServices;
using static TorchSharp.torch;

namespace Pipeline.Cli.Machine;

/// <summary>A thread on which the tensor library computes alone, as a stage's does, and which leaves the count of others as it was.</summary>
internal static class ProbeThread
{
    /// <summary>Computes on fresh threads at the same time and returns their results, in order; what one of them throws is thrown here.</summary>
    public static T[] Run<T>(int threadCount, Func<T> compute)
    {
        var usual = get_num_threads();
        var results = new T[threadCount];
        ExceptionDispatchInfo? fault = null;
        var threads = Enumerable.Range(0, threadCount).Select(index => new Thread(() =>
        {
            set_num_threads(1);
            try
            {
                results[index] = compute();
            }
            catch (Exception thrown)
            {
                // On a thread of its own it would end the process, which may be a node that others count on.
                Interlocked.CompareExchange(ref fault, ExceptionDispatchInfo.Capture(thrown), null);
            }
        }) { Name = "probe" }).ToArray();
        foreach (var thread in threads) thread.Start();
        foreach (var thread in threads) thread.Join();
        set_num_threads(usual);
        fault?.Throw();
        return results;
    }
}
