using System.Globalization;
using Pipeline.Chaos;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>What the harness makes of a run's events: no processes.</summary>
public sealed class RecoveryTimeTests : IDisposable
{
    private static readonly DateTimeOffset s_start = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-events-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Ranks_of_a_survivor_that_run_again_are_counted_unless_there_was_no_room_for_all_replicas()
    {
        RunFiles files = new(_folder);
        File.WriteAllLines(files.Events,
        [
            Recovering(1, "0 on a, 1 on b"), Recovered(2),
            Recovering(11, "0 on a, 1 on b"), Line(11, "\"event\":\"replicas-changed\",\"from\":2,\"to\":1"), Recovered(12),
            // Up again, of which nobody says that it recovers.
            Line(13, "\"event\":\"replicas-changed\",\"from\":1,\"to\":2"),
        ]);
        Strike[] strikes = [new(Fault.KillStage, s_start, [1]), new(Fault.KillBoth, s_start.AddSeconds(10), [1, 3])];
        var times = RecoveryTime.Read(files, strikes).ToArray();
        Assert.Equal([(Fault.KillStage, 1, false), (Fault.KillBoth, 0, true)], times.Select(time => (time.Fault, time.Recomputed, time.IsResized)));
        Assert.Equal([2.0, 2.0], times.Select(time => time.Total));
    }

    private static string Recovering(int second, string ranks) => Line(second, $"\"event\":\"recovering\",\"ranks\":\"{ranks}\",\"message\":\"the connection was reset\"");

    private static string Recovered(int second) => Line(second, "\"event\":\"recovered\",\"placement\":0.1,\"loading\":0.2,\"replay\":0.3");

    private static string Line(int second, string rest) =>
        string.Create(CultureInfo.InvariantCulture, $"{{\"time\":\"{s_start.AddSeconds(second):O}\",{rest}}}");
}
