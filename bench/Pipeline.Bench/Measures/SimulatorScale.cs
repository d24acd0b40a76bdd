using System.Diagnostics;
using System.Globalization;
using Pipeline.Bench.Reports;
using Pipeline.Schedules;

namespace Pipeline.Bench.Measures;

/// <summary>How long the simulator takes for a very large step, and how much memory: 1,024 stages × 4,096 micro-batches.</summary>
internal static class SimulatorScale
{
    private static readonly (string Kind, int PerRank)[] s_kinds = [("1f1b", 1), ("zb-h1", 1), ("interleaved-1f1b", 2)];

    public static BenchReport Measure(BenchOptions options)
    {
        var (stages, microBatches) = options.IsQuick ? (32, 64) : (1024, 4096);
        List<IReadOnlyList<string>> rows = [];
        foreach (var (kind, perRank) in s_kinds)
        {
            var schedule = StepEndPass.Apply(ScheduleCatalog.Generate(kind, new ScheduleShape(stages / perRank, microBatches, perRank)), [0, stages - 1]);
            var model = Model(stages, stages / perRank);
            var begun = Stopwatch.GetTimestamp();
            var step = Simulator.Run(schedule, model);
            var seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
            var path = CriticalPath.Of(step);
            var map = DensityMap.Of(step, 256, 480);
            var total = Stopwatch.GetElapsedTime(begun).TotalSeconds;
            rows.Add([
                kind, Text($"{stages / perRank} × {perRank}"), Text($"{microBatches}"), Text($"{step.ActionCount:N0}"), Text($"{seconds:0.0}"), Text($"{total:0.0}"),
                Text($"{Process.GetCurrentProcess().PeakWorkingSet64 / 1e9:0.00}"), Text($"{path.Actions.Length:N0}"), Text($"{map.BandCount} × {map.SliceCount}"),
            ]);
        }

        return new BenchReport("simulator", "The simulator's own time and memory",
            "One step is simulated on one thread with links (latency, bandwidth, nodes of 8 devices that share a network card), memory, a slow rank and a step's end; "
            + "then its critical path and its density map are made. Memory is the process's peak so far.",
            ["schedule", "ranks × stages each", "micro-batches", "actions", "simulation s", "with path and map s", "peak GB", "critical actions", "map"], rows);
    }

    private static SimulationModel Model(int stageCount, int rankCount) => new()
    {
        Costs = ActionCosts.Uniform(stageCount).With(ActionKind.Optimizer, 1),
        Slowdowns = [new Slowdown(rankCount / 3, 1.1)],
        Memory = [.. Enumerable.Repeat(new StageMemory(100, 10, 1, 5), stageCount)],
        Links = LinkModel.OfNodes((rankCount + 7) / 8, 8, new RankLink(0.001, 1e4, 0), new RankLink(0.01, 1e3, 0), [.. Enumerable.Repeat(10L, stageCount)]),
    };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
