using System.Diagnostics;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>What one process saw.</summary>
/// <param name="Seconds">Median time of a round.</param>
/// <param name="Exposed">Median time from the moment at which both processes have done with their own work to the end of the reduction: communication that nothing hides.</param>
/// <param name="SentBytes">Bytes that its sockets sent in a round.</param>
/// <param name="GradientBytes">Bytes of its gradient in fp32.</param>
/// <param name="Window">Median time of the last micro-batch's backward, in which gradients become final and are sent.</param>
internal sealed record ReplicaResult(double Seconds, double Exposed, long SentBytes, long GradientBytes, double Window)
{
    /// <summary>Median time for which this process had done with its work and the other had not: no communication.</summary>
    internal double Waited { get; init; }

    /// <summary>Mean processor time of the process in a round, all threads: the system counts it in steps too coarse for a median.</summary>
    internal double ProcessorSeconds { get; init; }

    /// <summary>What of what was sent were tensors, in a round.</summary>
    internal SentTensors Tensors { get; init; }
}

/// <summary>When what happened in a round, by a clock that both processes read.</summary>
/// <param name="Began">Beginning.</param>
/// <param name="Computed">End of the own work.</param>
/// <param name="Reduced">End of the reduction.</param>
/// <param name="Ended">End, with the optimizer's step.</param>
/// <param name="Window">Seconds of the last micro-batch's backward.</param>
internal readonly record struct RoundTimes(long Began, long Computed, long Reduced, long Ended, double Window)
{
    /// <summary>End of the other process's work.</summary>
    internal long OtherComputed { get; init; }

    /// <summary>Processor time of all threads.</summary>
    internal double ProcessorSeconds { get; init; }

    /// <summary>The whole round.</summary>
    internal double Seconds => Between(Began, Ended);

    /// <summary>From the end of both works to the end of the reduction; this process may have all that it awaits a moment before the other says that it has done.</summary>
    internal double Exposed => Math.Max(0, Between(Math.Max(Computed, OtherComputed), Reduced));

    /// <summary>From the end of the own work to the end of the other's, if that is later.</summary>
    internal double Waited => Between(Computed, Math.Max(Computed, OtherComputed));

    private static double Between(long from, long to) => Stopwatch.GetElapsedTime(from, to).TotalSeconds;
}
