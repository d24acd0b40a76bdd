using System.Globalization;

namespace Pipeline.Chaos;

/// <summary>Minutes at full load with nothing done to the cluster: nobody may be taken for unreachable, and no process may grow.</summary>
internal sealed class Soak(TinyTraining tiny, TextWriter output)
{
    private const int Processes = 4;

    /// <summary>What a process may grow by after its first quarter: buffers find their size, the collector takes its time.</summary>
    private const double GrowthLimit = 1.15;

    /// <summary>Runs so long.</summary>
    internal async Task<bool> RunAsync(double minutes)
    {
        using var cluster = ChaosCluster.Start(tiny, "soak", Processes, "--stages", "4", "--set", "run.digest-every=0", "--set", "checkpoint.every=1000");
        var status = await cluster.StatusAsync(status => status.Step >= 20);
        List<(double Minute, double[] MiB)> samples = [];
        var start = TimeProvider.System.GetTimestamp();
        while (TimeProvider.System.GetElapsedTime(start).TotalMinutes is var minute && minute < minutes && cluster.IsRunning)
        {
            samples.Add((minute, [.. status.Nodes.Select(node => ResidentMiB(node.Pid))]));
            await Task.Delay(TimeSpan.FromSeconds(5));
        }

        var end = await cluster.StatusAsync(_ => true);
        var code = await cluster.StopAsync();
        var lost = File.ReadLines(cluster.Files.Events).Count(line => line.Contains("\"event\":\"node-lost\"", StringComparison.Ordinal) || line.Contains("\"event\":\"recovering\"", StringComparison.Ordinal));
        var early = samples[samples.Count / 4].MiB;
        var late = samples[^1].MiB;
        for (var node = 0; node < late.Length; node++)
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {status.Nodes[node].Name}: {early[node]:F0} MiB after a quarter, {late[node]:F0} MiB at the end"));
        output.WriteLine($"soak: {minutes} minutes, {end.Step} steps, generation {end.Generation}, {lost} losses, exit code {code}");
        return code == 0 && lost == 0 && Enumerable.Range(0, late.Length).All(node => late[node] <= early[node] * GrowthLimit + 16);
    }

    private static double ResidentMiB(int process)
    {
        var line = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024;
    }
}
