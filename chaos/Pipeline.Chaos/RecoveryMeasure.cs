using System.Diagnostics;
using System.Globalization;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>
/// Seen from outside: from <c>kill -9</c> of a stage's process, a spare being there, to the first step that is committed in the generation after it; and
/// from that of the leader's process to the first step that the next leader records.
/// </summary>
internal sealed class RecoveryMeasure(TinyTraining tiny, TextWriter output)
{
    private const int Processes = 4;

    /// <summary>Measures so many of each.</summary>
    internal async Task<bool> RunAsync(int count)
    {
        List<double> stages = [];
        List<double> leaders = [];
        List<RecoveryTime> inside = [];
        for (var run = 1; stages.Count < count; run++)
        {
            List<Strike> strikes = [];
            using var cluster = ChaosCluster.Start(tiny, $"measured-{run}", Processes, "--stages", "2");
            for (var round = 0; round < 5 && stages.Count < count; round++)
            {
                stages.Add(await TimeAsync(cluster, Fault.KillStage, strikes, status => status.Nodes.First(node => status.Stages.Any(place => place.Node == node.Name) && !node.Coordinates)));
                leaders.Add(await TimeAsync(cluster, Fault.KillCoordinator, strikes, status => status.Nodes.Single(node => node.Coordinates)));
                output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  stage {stages[^1]:F2} s, leader {leaders[^1]:F2} s"));
            }

            await cluster.StopAsync();
            inside.AddRange(RecoveryTime.Read(cluster.Files, strikes));
        }

        Report("kill -9 of a stage to the next committed step", stages);
        Report("kill -9 of the leader to the next recorded step", leaders);
        RecoveryTime.Report(inside, output);
        return true;
    }

    private static async Task<double> TimeAsync(ChaosCluster cluster, Fault fault, List<Strike> strikes, Func<ControlStatus, NodeStatus> choose)
    {
        var first = await cluster.StatusAsync(status => status.Nodes.Count >= Processes && status.Phase == "running" && status.Stages.Count == 2);
        var status = await cluster.StatusAsync(status => status.Step >= first.Step + 5);
        var victim = choose(status);
        strikes.Add(new Strike(fault, TimeProvider.System.GetUtcNow(), [.. status.Stages.Where(place => place.Node == victim.Name).Select(place => place.Rank)]));
        var start = Stopwatch.GetTimestamp();
        Signals.Send(victim.Pid, Signal.Kill);
        await NextGenerationAsync(cluster, status.Generation);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        await cluster.StatusAsync(now => now.Generation > status.Generation && now.Nodes.All(node => node.Pid != victim.Pid));
        cluster.AddNode();
        return seconds;
    }

    /// <summary>Until a step is written after the event that tells of a newer generation.</summary>
    private static async Task NextGenerationAsync(ChaosCluster cluster, int generation)
    {
        RunFeed feed = new(cluster.Files);
        var begun = false;
        for (var tries = 0; tries < 30_000; tries++)
        {
            foreach (var notice in feed.Next())
            {
                if (begun && notice is Coordinator.RunNotice.StepCommitted) return;
            }

            begun |= RecoveringTo(cluster.Files) > generation;
            await Task.Delay(2);
        }

        throw new TimeoutException("No step was committed within a minute.");
    }

    private static int RecoveringTo(RunFiles files)
    {
        var last = File.ReadLines(files.Events).LastOrDefault(line => line.Contains("\"event\":\"recovering\"", StringComparison.Ordinal));
        if (last is null) return 0;
        using var json = System.Text.Json.JsonDocument.Parse(last);
        return json.RootElement.GetProperty("generation").GetInt32();
    }

    private void Report(string name, List<double> values)
    {
        var sorted = values.Order().ToArray();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name}: {sorted.Length} times, median {RecoveryTime.Quantile(sorted, 0.5):F2} s, p99 {RecoveryTime.Quantile(sorted, 0.99):F2} s, max {sorted[^1]:F2} s"));
    }
}
