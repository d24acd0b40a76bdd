using System.Diagnostics;
using System.Globalization;
using Pipeline.Bench.Reports;
using Pipeline.Schedules;

namespace Pipeline.Bench.Measures;

/// <summary>How long the simulator takes for a very large step, and how much memory: 1,024 stages × 4,096 micro-batches.</summary>
internal static class SimulatorScale
{
    private static readonly (string Kind, int PerRank)[] s_kinds = [("1f1b", 1), ("zb-h1", 1), ("interleaved-1f1b", 2)];

    // What is asked of the full size: all of it on one core.
    private const double MostSeconds = 60;
    private const double MostBytes = 4e9;

    public static BenchReport Measure(BenchOptions options)
    {
        var (stages, microBatches) = options.IsQuick ? (32, 64) : (1024, 4096);
        var process = Process.GetCurrentProcess();
        List<IReadOnlyList<string>> rows = [];
        foreach (var (kind, perRank) in s_kinds)
        {
            var (begun, busy) = (Stopwatch.GetTimestamp(), process.TotalProcessorTime);
            var schedule = StepEndPass.Apply(ScheduleCatalog.Generate(kind, new ScheduleShape(stages / perRank, microBatches, perRank)), [0, stages - 1]);
            var generated = Seconds(begun);
            var step = Simulator.Run(schedule, Model(stages, stages / perRank));
            var simulated = Seconds(begun);
            var path = CriticalPath.Of(step);
            var map = DensityMap.Of(step, 256, 480);
            var total = Seconds(begun);
            process.Refresh();
            // What other threads did of it, such as the collector's, would have been this one's on one core.
            var (computed, peak) = ((process.TotalProcessorTime - busy).TotalSeconds, process.PeakWorkingSet64);
            rows.Add([
                kind, Text($"{stages / perRank} × {perRank}"), Text($"{microBatches}"), Text($"{step.ActionCount:N0}"), Text($"{generated:0.0}"), Text($"{simulated - generated:0.0}"), Text($"{total - simulated:0.0}"),
                Text($"{total:0.0}"), Text($"{computed:0.0}"), Text($"{peak / 1e9:0.00}"), Text($"{path.Actions.Length:N0}"), Text($"{map.BandCount} × {map.SliceCount}"),
                Math.Max(total, computed) <= MostSeconds && peak <= MostBytes ? "met" : "missed",
            ]);
        }

        return new BenchReport("simulator", "The simulator's own time and memory",
            "A schedule is generated, and one step of it simulated on one thread with links (latency, bandwidth, nodes of 8 devices that share a network card), memory, a slow rank and a step's end; "
            + "then its critical path and its density map are made. Memory is the process's peak so far. "
            + Text($"Asked: at most {MostSeconds:0} s for all of it, by the clock and by processor time over all threads, and {MostBytes / 1e9:0} GB."),
            [
                "schedule", "ranks × stages each", "micro-batches", "actions", "generation s", "simulation s", "path and map s", "all s", "processor s", "peak GB", "critical actions", "map", "verdict",
            ], rows);
    }

    private static double Seconds(long begun) => Stopwatch.GetElapsedTime(begun).TotalSeconds;

    private static SimulationModel Model(int stageCount, int rankCount) => new()
    {
        Costs = ActionCosts.Uniform(stageCount).With(ActionKind.Optimizer, 1),
        Slowdowns = [new Slowdown(rankCount / 3, 1.1)],
        Memory = [.. Enumerable.Repeat(new StageMemory(100, 10, 1, 5), stageCount)],
        Links = LinkModel.OfNodes((rankCount + 7) / 8, 8, new RankLink(0.001, 1e4, 0), new RankLink(0.01, 1e3, 0), [.. Enumerable.Repeat(10L, stageCount)]),
    };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
