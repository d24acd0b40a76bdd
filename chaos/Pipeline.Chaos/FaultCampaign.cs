using System.Globalization;
using Pipeline.Nodes;

namespace Pipeline.Chaos;

/// <summary>
/// Random faults over many runs, the same ones for the same seed: each must be survived, and at the end every line of every run must be the
/// unsplit trainer's, each step once.
/// </summary>
/// <param name="tiny">What is trained.</param>
/// <param name="seed">The same seed gives the same faults.</param>
/// <param name="processes">Processes of a run; where its ranks are fewer, and the leader's has none, the rest are spares.</param>
/// <param name="output">Told what happens.</param>
/// <param name="kinds">The only faults that are drawn; empty for all.</param>
/// <param name="settings">Words of the runs' command lines and of that of their reference.</param>
internal sealed class FaultCampaign(TinyTraining tiny, int seed, int processes, TextWriter output, IReadOnlyCollection<Fault> kinds, params string[] settings)
{
    /// <summary>Of one cluster: starting and ending one takes as long as some faults.</summary>
    private const int FaultsPerRun = 25;

    private const string DataKey = "parallelism.data=";

    private readonly int _stages = settings.Length == 0 ? 3 : 2;
    private readonly int _replicas = settings.LastOrDefault(word => word.StartsWith(DataKey, StringComparison.Ordinal)) is { } data ? int.Parse(data[DataKey.Length..], CultureInfo.InvariantCulture) : 1;
    private readonly FaultDice _dice = new(seed, kinds);
    private readonly List<RecoveryTime> _recoveries = [];
    private readonly List<Strike> _strikes = [];
    private readonly SortedDictionary<Fault, int> _survivedOf = [];
    private readonly RunLedger _ledger = new(tiny, output, settings);
    private int _survived;
    private int _refused;
    private int _divergences;
    private int _replicaChanges;

    /// <summary>Runs until so many faults were survived, or one was not.</summary>
    /// <returns>Whether all were survived without divergence.</returns>
    internal async Task<bool> RunAsync(int count)
    {
        output.WriteLine($"chaos: {count} faults, seed {seed}, {processes} processes, {_stages} stages{(settings.Length == 0 ? "" : $", {string.Join(' ', settings)}")}; {Math.Max(0, processes - 1 - _replicas * _stages)} spare");
        for (var run = 1; _survived < count; run++)
        {
            if (await RunOnceAsync($"run-{run}", Math.Min(FaultsPerRun, count - _survived))) continue;
            Report();
            return false;
        }

        Report();
        return _divergences == 0 && RecoveryTime.AreWithinLimits(_recoveries, output);
    }

    private async Task<bool> RunOnceAsync(string run, int faults)
    {
        using var cluster = ChaosCluster.Start(tiny, run, processes, ["--stages", $"{_stages}", .. settings]);
        _strikes.Clear();
        try
        {
            for (var fault = 0; fault < faults; fault++)
            {
                var status = await SettledAsync(cluster);
                await Task.Delay(_dice.Pause());
                var kind = _dice.Next();
                await StrikeAsync(cluster, status, kind);
                await SettledAsync(cluster);
                _survived++;
                _survivedOf[kind] = _survivedOf.GetValueOrDefault(kind) + 1;
            }

            if (await cluster.StopAsync() is var code && code != 0) throw new InvalidOperationException($"The train process ended with {code}.");
        }
        catch (Exception failure) when (failure is TimeoutException or InvalidOperationException)
        {
            output.WriteLine($"{run}: NOT SURVIVED after {_survived} faults: {failure.Message}\n{cluster.Output}");
            foreach (var line in File.Exists(cluster.Files.Events) ? File.ReadLines(cluster.Files.Events).TakeLast(60) : []) output.WriteLine(line);
            foreach (var dump in Dumps(cluster)) output.WriteLine((await ProgramRun.ToEndAsync("dump", "show", dump)).Output);
            return false;
        }

        _recoveries.AddRange(RecoveryTime.Read(cluster.Files, _strikes));
        _replicaChanges += File.ReadLines(cluster.Files.Events).Count(line => line.Contains("\"event\":\"replicas-changed\"", StringComparison.Ordinal));
        if (!await _ledger.HoldsAsync(run, cluster.Files)) _divergences++;
        return true;
    }

    /// <summary>What the ranks were at when they stalled first, and last.</summary>
    private static IEnumerable<string> Dumps(ChaosCluster cluster)
    {
        var folder = Path.Combine(cluster.Files.Folder, "dumps");
        string[] files = Directory.Exists(folder) ? [.. Directory.GetFiles(folder).Order(StringComparer.Ordinal)] : [];
        return files.Length > 2 ? [files[^2], files[^1]] : files;
    }

    /// <summary>All nodes are there, no recovery is under way, all replicas compute again, and steps are being committed.</summary>
    private async Task<ControlStatus> SettledAsync(ChaosCluster cluster)
    {
        var first = await cluster.StatusAsync(status => status.Nodes.Count >= processes && status.Phase == "running" && status.Stages.Count == _replicas * _stages);
        // A run that still grows, or recovers, begins another generation: what follows would be taken for its doing.
        var settled = await cluster.StatusAsync(status => status.Nodes.Count >= processes && status.Step >= first.Step + 3);
        return settled.Generation == first.Generation && settled.Stages.Count == first.Stages.Count ? settled : await SettledAsync(cluster);
    }

    private async Task StrikeAsync(ChaosCluster cluster, ControlStatus status, Fault fault)
    {
        var leader = status.Nodes.Single(node => node.Coordinates);
        var hosts = status.Nodes.Where(node => status.Stages.Any(place => place.Node == node.Name)).ToArray();
        // After many losses at once all ranks may lie on the node that leads.
        var stage = _dice.One(hosts.Any(node => !node.Coordinates) ? [.. hosts.Where(node => !node.Coordinates)] : hosts);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  step {status.Step,5}: {fault} ({leader.Name} leads, {stage.Name})"));
        var victims = fault switch { Fault.KillCoordinator => [leader], Fault.KillBoth when stage != leader => [leader, stage], _ => new[] { stage } };
        var signal = fault switch { Fault.FreezeShortly or Fault.FreezeLong or Fault.FreezeMinute => Signal.Stop, Fault.Drain => Signal.Terminate, _ => Signal.Kill };
        if (fault != Fault.FreezeShortly) _strikes.Add(new Strike(fault, TimeProvider.System.GetUtcNow(), [.. status.Stages.Where(place => victims.Any(victim => victim.Name == place.Node)).Select(place => place.Rank)]));
        foreach (var victim in victims) Signals.Send(victim.Pid, signal);
        if (signal == Signal.Stop)
        {
            await Task.Delay(TimeSpan.FromSeconds(fault switch { Fault.FreezeShortly => 1, Fault.FreezeLong => 10, _ => 60 }));
            Signals.Send(stage.Pid, Signal.Continue);
        }

        if (fault == Fault.FreezeShortly) await RequireUntouchedAsync(cluster, status);
        else await ReplaceAsync(cluster, victims);
        if (fault is Fault.FreezeLong or Fault.FreezeMinute) await RequireRefusedAsync(cluster, stage);
    }

    /// <summary>What wakes after it was replaced is told so, and ends with the code of a node that was given up.</summary>
    private async Task RequireRefusedAsync(ChaosCluster cluster, NodeStatus woken)
    {
        var code = await cluster.ExitCodeAsync(woken.Pid);
        if (code != 1) throw new InvalidOperationException($"The woken node {woken.Name} (pid {woken.Pid}) ended with {code}, not with 1.");
        _refused++;
    }

    /// <summary>What is silent for a second is left where it is.</summary>
    private static async Task RequireUntouchedAsync(ChaosCluster cluster, ControlStatus before)
    {
        var after = await cluster.StatusAsync(now => now.Phase == "running" && now.Step > before.Step);
        if (after.Generation != before.Generation) throw new InvalidOperationException($"A second's freeze raised the generation from {before.Generation} to {after.Generation}.");
    }

    /// <summary>Waits until the victims have ended and been forgotten, then starts others.</summary>
    private static async Task ReplaceAsync(ChaosCluster cluster, NodeStatus[] victims)
    {
        var pids = victims.Select(victim => victim.Pid).ToHashSet();
        await cluster.StatusAsync(now => !pids.Any(Signals.IsAlive) && now.Nodes.All(node => !pids.Contains(node.Pid)));
        foreach (var _ in victims) cluster.AddNode();
    }

    private void Report()
    {
        output.WriteLine($"survived {_survived}, divergences {_divergences}; {string.Join(", ", _survivedOf.Select(kind => $"{kind.Key} {kind.Value}"))}");
        if (_refused > 0) output.WriteLine($"nodes that woke after they were replaced, were refused and ended with 1: {_refused}");
        if (_replicas > 1) output.WriteLine($"times that the number of replicas changed, down or up again: {_replicaChanges}");
        RecoveryTime.Report(_recoveries, output);
    }
}
