using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>
/// Recoveries of the preset gpt-nano over two stages, or over replicas of one stage, with spares, seen from outside and in their parts: from <c>kill -9</c> of a rank's process to the
/// first step that is committed in the generation after it, and from that of the leader's process until another leads, with what the stages did meanwhile.
/// </summary>
/// <param name="tiny">Corpus and folder.</param>
/// <param name="output">Told what happens.</param>
/// <param name="processes">Processes of a run; as many as ranks and the leader's leave no spare.</param>
/// <param name="settings">Settings of the runs, <c>KEY=VALUE</c>; with <c>parallelism.data</c> above 1 a replica is one rank, and whoever kills a process kills a replica.</param>
internal sealed class RecoveryMeasure(TinyTraining tiny, TextWriter output, int processes, params string[] settings)
{
    private const string DataKey = "parallelism.data=";
    private const int KillsPerRun = 20;

    /// <summary>The leader is killed after so many kills of a stage: it takes several times as long.</summary>
    private const int StagesPerLeader = 4;

    private readonly List<double> _stages = [];
    private readonly List<Succession> _leaders = [];
    private readonly List<RecoveryTime> _inside = [];
    private readonly int _replicas = settings.LastOrDefault(setting => setting.StartsWith(DataKey, StringComparison.Ordinal)) is { } data
        ? int.Parse(data[DataKey.Length..], CultureInfo.InvariantCulture)
        : 1;

    private bool HasReplicas => _replicas > 1;

    private int Stages => HasReplicas ? 1 : 2;

    private string Victim => HasReplicas ? "replica" : "stage";

    /// <summary>Measures so many kills of a stage, and a quarter as many of the leader.</summary>
    /// <returns>Whether all goals are met.</returns>
    internal async Task<bool> RunAsync(int count)
    {
        var spares = processes - 1 - _replicas * Stages;
        output.WriteLine($"recovery: gpt-nano, {(HasReplicas ? $"{_replicas} replicas of one stage" : "2 stages")} over {processes} processes, of which {(spares > 0 ? $"{spares} are spare" : "none is spare")}; {count} kills of a {Victim}; {string.Join(' ', settings)}");
        for (var run = 1; _stages.Count < count; run++)
        {
            List<Strike> strikes = [];
            using var cluster = ChaosCluster.StartNano(tiny, $"measured-{run}", processes, ["--stages", $"{Stages}", .. settings.SelectMany(setting => new[] { "--set", setting })]);
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
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {Victim,-7} {_stages[^1],6:F2} s"));
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

    private async Task<ControlStatus> SettledAsync(ChaosCluster cluster)
    {
        var first = await cluster.StatusAsync(status => status.Nodes.Count >= processes && status.Phase == "running" && status.Stages.Count == _replicas * Stages);
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
        var isMet = Tell($"kill -9 of a {Victim} to the next committed step", stages, HasReplicas ? [(1, 5)] : [(0.5, 3), (0.99, 6)]);
        if (leaders.Length > 0)
        {
            isMet &= Tell("kill -9 of the leader until another leads", leaders, [(1, 15)]);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"steps that the stages completed while nobody led: {_leaders.Sum(succession => succession.StepsMeanwhile)} of {_leaders.Sum(succession => succession.StepsAtPace):F0} at the pace before"));
        }

        var recomputed = _inside.Where(time => time.Fault == Fault.KillStage).Sum(time => time.Recomputed);
        output.WriteLine($"actions that survivors of a {Victim}'s loss ran again: {(recomputed == 0 ? "0, no other rank was put back" : $"some, {recomputed} ranks were put back")}");
        RecoveryTime.Report(_inside, output);
        // Where a replica is lost without a spare, the others take over what it was computing.
        return isMet && (recomputed == 0 || HasReplicas);
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
