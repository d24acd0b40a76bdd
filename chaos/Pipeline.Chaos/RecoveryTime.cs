using System.Globalization;
using System.Text.Json;
using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>How long one recovery took, as the run's events tell it, in seconds.</summary>
/// <param name="Placement">From the suspicion until the new assignment was sent.</param>
/// <param name="Loading">Until every rank had its state.</param>
/// <param name="Replay">Until the next step was committed.</param>
internal sealed record RecoveryTime(double Placement, double Loading, double Replay)
{
    internal double Total => Placement + Loading + Replay;

    internal static IEnumerable<RecoveryTime> Read(RunFiles files)
    {
        foreach (var line in File.ReadLines(files.Events))
        {
            using var json = JsonDocument.Parse(line);
            var root = json.RootElement;
            if (root.GetProperty("event").GetString() != "recovered") continue;
            yield return new RecoveryTime(root.GetProperty("placement").GetDouble(), root.GetProperty("loading").GetDouble(), root.GetProperty("replay").GetDouble());
        }
    }

    internal static void Report(IReadOnlyList<RecoveryTime> times, TextWriter output)
    {
        if (times.Count == 0) return;
        output.WriteLine($"{times.Count} recoveries, from the suspicion on, seconds:");
        Line("placement", times.Select(time => time.Placement));
        Line("loading", times.Select(time => time.Loading));
        Line("replay", times.Select(time => time.Replay));
        Line("total", times.Select(time => time.Total));

        void Line(string name, IEnumerable<double> values)
        {
            var sorted = values.Order().ToArray();
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {name,-10} p50 {Quantile(sorted, 0.5):F3}  p99 {Quantile(sorted, 0.99):F3}  max {sorted[^1]:F3}"));
        }
    }

    /// <summary>The smallest value that at least the share of all does not exceed.</summary>
    internal static double Quantile(double[] sorted, double share) => sorted[Math.Max(0, (int)Math.Ceiling(share * sorted.Length) - 1)];
}
