using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>
/// Recoveries of the preset gpt-nano over two stages with spares, seen from outside and in their parts: from <c>kill -9</c> of a stage's process to the first
/// step that is committed in the generation after it, and from that of the leader's process until another leads, with what the stages did meanwhile.
/// </summary>
internal sealed class RecoveryMeasure(TinyTraining tiny, TextWriter output)
{
    private const int Processes = 4;
    private const int KillsPerRun = 20;

    /// <summary>The leader is killed after so many kills of a stage: it takes several times as long.</summary>
    private const int StagesPerLeader = 4;

    private readonly List<double> _stages = [];
    private readonly List<Succession> _leaders = [];
    private readonly List<RecoveryTime> _inside = [];

    /// <summary>Measures so many kills of a stage, and a quarter as many of the leader.</summary>
    /// <returns>Whether all goals are met.</returns>
    internal async Task<bool> RunAsync(int count)
    {
        output.WriteLine($"recovery: gpt-nano, 2 stages over {Processes} processes, so that one is a spare; {count} kills of a stage");
        for (var run = 1; _stages.Count < count; run++)
        {
            List<Strike> strikes = [];
            using var cluster = ChaosCluster.StartNano(tiny, $"measured-{run}", Processes, "--stages", "2");
            for (var kill = 0; kill < KillsPerRun && _stages.Count < count; kill++)
            {
                await KillStageAsync(cluster, strikes);
                if (_stages.Count % StagesPerLeader == 0) await KillLeaderAsync(cluster, strikes);
            }

            await cluster.StopAsync();
            _inside.AddRange(RecoveryTime.Read(cluster.Files, strikes));
        }

        return Report();
    }

    private async Task KillStageAsync(ChaosCluster cluster, List<Strike> strikes)
    {
        var status = await SettledAsync(cluster);
        var victim = status.Nodes.First(node => status.Stages.Any(place => place.Node == node.Name) && !node.Coordinates);
        var start = Strike(Fault.KillStage, status, victim, strikes);
        await CommittedAfterAsync(cluster, status.Generation);
        _stages.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  stage  {_stages[^1],6:F2} s"));
        await ReplaceAsync(cluster, status, victim);
    }

    private async Task KillLeaderAsync(ChaosCluster cluster, List<Strike> strikes)
    {
        var status = await SettledAsync(cluster);
        var victim = status.Nodes.Single(node => node.Coordinates);
        var pace = await PaceAsync(cluster);
        var before = await cluster.StatusAsync(_ => true);
        var start = Strike(Fault.KillCoordinator, before, victim, strikes);
        // The successor's first answer tells how far the stages went by themselves.
        var after = await cluster.StatusAsync(now => now.Generation > before.Generation && now.Stages.Count > 0);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        _leaders.Add(new Succession(seconds, after.Stages.Min(stage => stage.Step) - before.Step, seconds / pace));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  leader {seconds,6:F2} s, {_leaders[^1].StepsMeanwhile} steps meanwhile, of {_leaders[^1].StepsAtPace:F0} at the pace before"));
        await ReplaceAsync(cluster, before, victim);
    }

    private static async Task<ControlStatus> SettledAsync(ChaosCluster cluster)
    {
        var first = await cluster.StatusAsync(status => status.Nodes.Count >= Processes && status.Phase == "running" && status.Stages.Count == 2);
        return await cluster.StatusAsync(status => status.Step >= first.Step + 10);
    }

    /// <summary>Seconds of a step, undisturbed.</summary>
    private static async Task<double> PaceAsync(ChaosCluster cluster)
    {
        var first = await cluster.StatusAsync(_ => true);
        var start = Stopwatch.GetTimestamp();
        var last = await cluster.StatusAsync(status => status.Step >= first.Step + 20);
        return Stopwatch.GetElapsedTime(start).TotalSeconds / (last.Step - first.Step);
    }

    private static long Strike(Fault fault, ControlStatus status, NodeStatus victim, List<Strike> strikes)
    {
        strikes.Add(new Strike(fault, TimeProvider.System.GetUtcNow(), [.. status.Stages.Where(place => place.Node == victim.Name).Select(place => place.Rank)]));
        var start = Stopwatch.GetTimestamp();
        Signals.Send(victim.Pid, Signal.Kill);
        return start;
    }

    private static async Task ReplaceAsync(ChaosCluster cluster, ControlStatus before, NodeStatus victim)
    {
        await cluster.StatusAsync(now => now.Generation > before.Generation && now.Nodes.All(node => node.Pid != victim.Pid));
        cluster.AddNode();
    }

    /// <summary>Until a step is written after the event that tells of a newer generation.</summary>
    private static async Task CommittedAfterAsync(ChaosCluster cluster, int generation)
    {
        RunFeed feed = new(cluster.Files);
        var start = Stopwatch.GetTimestamp();
        var (seen, hasBegun) = (0L, false);
        while (Stopwatch.GetElapsedTime(start).TotalSeconds < 60)
        {
            if (feed.Next().Any(notice => notice is RunNotice.StepCommitted) && hasBegun) return;
            if (!hasBegun && new FileInfo(cluster.Files.Events).Length is var length && length != seen) (seen, hasBegun) = (length, RecoveringTo(cluster.Files) > generation);
            await Task.Delay(5);
        }

        throw new TimeoutException("No step was committed within a minute.");
    }

    private static int RecoveringTo(RunFiles files)
    {
        var last = File.ReadLines(files.Events).LastOrDefault(line => line.Contains("\"event\":\"recovering\"", StringComparison.Ordinal));
        if (last is null) return 0;
        using var json = JsonDocument.Parse(last);
        return json.RootElement.GetProperty("generation").GetInt32();
    }

    private bool Report()
    {
        var stages = _stages.Order().ToArray();
        var leaders = _leaders.Select(succession => succession.Seconds).Order().ToArray();
        var isMet = Tell("kill -9 of a stage to the next committed step", stages, [(0.5, 3), (0.99, 6)]);
        if (leaders.Length > 0)
        {
            isMet &= Tell("kill -9 of the leader until another leads", leaders, [(1, 15)]);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"steps that the stages completed while nobody led: {_leaders.Sum(succession => succession.StepsMeanwhile)} of {_leaders.Sum(succession => succession.StepsAtPace):F0} at the pace before"));
        }

        var recomputed = _inside.Where(time => time.Fault == Fault.KillStage).Sum(time => time.Recomputed);
        output.WriteLine($"actions that survivors of a stage's loss ran again: {(recomputed == 0 ? "0, no other rank was put back" : $"some, {recomputed} ranks were put back")}");
        RecoveryTime.Report(_inside, output);
        return isMet && recomputed == 0;
    }

    private bool Tell(string name, double[] sorted, IReadOnlyList<(double Share, double Seconds)> goals)
    {
        var isMet = goals.All(goal => RecoveryTime.Quantile(sorted, goal.Share) <= goal.Seconds);
        var wanted = string.Join(", ", goals.Select(goal => string.Create(CultureInfo.InvariantCulture, $"{(goal.Share >= 1 ? "max" : $"p{goal.Share * 100:F0}")} ≤ {goal.Seconds} s")));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name}: {sorted.Length} times, p50 {RecoveryTime.Quantile(sorted, 0.5):F2} s, p99 {RecoveryTime.Quantile(sorted, 0.99):F2} s, max {sorted[^1]:F2} s (goal {wanted}: {(isMet ? "met" : "missed")})"));
        return isMet;
    }

    /// <summary>One leader after another.</summary>
    /// <param name="Seconds">From the kill until the next one answers.</param>
    /// <param name="StepsMeanwhile">Steps that every rank had completed by then beyond those committed before.</param>
    /// <param name="StepsAtPace">Steps that the time would have been enough for.</param>
    private sealed record Succession(double Seconds, long StepsMeanwhile, double StepsAtPace);
}
