using System.Diagnostics;

namespace Pipeline.Bench.Measures;

/// <summary>What a piece of work took.</summary>
/// <param name="WallSeconds">By the clock on the wall.</param>
/// <param name="CpuSeconds">Processor time of the whole process; on a busy machine the steadier figure.</param>
internal readonly record struct Elapsed(double WallSeconds, double CpuSeconds)
{
    /// <summary>Times a piece of work.</summary>
    public static Elapsed Of(Action work)
    {
        using var process = Process.GetCurrentProcess();
        var processor = process.TotalProcessorTime;
        var start = Stopwatch.GetTimestamp();
        work();
        var wall = Stopwatch.GetElapsedTime(start).TotalSeconds;
        process.Refresh();
        return new Elapsed(wall, (process.TotalProcessorTime - processor).TotalSeconds);
    }
}
