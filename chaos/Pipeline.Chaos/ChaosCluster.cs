using System.Globalization;
using System.Text.RegularExpressions;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>
/// A run over processes to which things are done: started by <c>train --processes</c>, with nodes that are started anew for those that were
/// lost. Ends all that it started.
/// </summary>
internal sealed class ChaosCluster : IDisposable
{
    private readonly TinyTraining _tiny;
    private readonly string _run;
    private readonly ProgramRun _train;
    private readonly List<ProgramRun> _added = [];
    private readonly HashSet<string> _seeds = new(StringComparer.Ordinal);
    private readonly string _cluster;
    private string? _token;

    private ChaosCluster(TinyTraining tiny, string run, ProgramRun train) =>
        (_tiny, _run, _train, _cluster) = (tiny, run, train, FormattableString.Invariant($"pipeline-{train.Id}"));

    /// <summary>The run's files.</summary>
    internal RunFiles Files => new(_tiny.In(_run));

    /// <summary>Whether the train process lives.</summary>
    internal bool IsRunning => !_train.HasEnded;

    /// <summary>What the train process has said.</summary>
    internal string Output => _train.Output;

    /// <summary>Starts a run that does not end by itself.</summary>
    internal static ChaosCluster Start(TinyTraining tiny, string run, int processes, params IEnumerable<string> arguments) =>
        new(tiny, run, ProgramRun.Start(tiny.Arguments(run, 1_000_000, ["--processes", $"{processes}", .. arguments])));

    /// <summary>Starts a run of the preset gpt-nano that does not end by itself.</summary>
    internal static ChaosCluster StartNano(TinyTraining tiny, string run, int processes, params IEnumerable<string> arguments) =>
        new(tiny, run, ProgramRun.Start(tiny.NanoArguments(run, 1_000_000, ["--processes", $"{processes}", .. arguments])));

    /// <summary>Waits for a status.</summary>
    internal Task<ControlStatus> StatusAsync(Func<ControlStatus, bool> until, double seconds = 240) => _tiny.StatusAsync(
        _run,
        status =>
        {
            _token ??= EndpointFile.Read(Files.Endpoint)?.TokenPath;
            _seeds.UnionWith(status.Nodes.Select(node => node.Address[(node.Address.IndexOf('@', StringComparison.Ordinal) + 1)..]));
            return until(status);
        },
        seconds);

    /// <summary>Starts a node that joins through those that live, with their token, or their links would not let it in. It names those that are gone, too: how many seed nodes there are says what follows a split, on all nodes alike.</summary>
    internal void AddNode()
    {
        var seeds = string.Join(",", _seeds);
        _added.Add(ProgramRun.Start(
            "node", "--name", $"added-{_added.Count + 1}", "--until-stdin-closes", "--set", $"cluster.name={_cluster}", "--set", "cluster.port=0", "--set", "cluster.control-port=0",
            "--set", $"cluster.seed-nodes=[{seeds}]", "--set", $"cluster.token-file={_token}"));
    }

    /// <summary>With what code a node has ended: one that was added, or one of the train process, which says so.</summary>
    internal async Task<int> ExitCodeAsync(int process)
    {
        if (_added.FirstOrDefault(node => node.Id == process) is { } added) return await added.EndAsync();
        Regex gone = new($@"\(pid {process}\) is gone, exit code (\d+)");
        for (var tries = 0; tries < 600; tries++)
        {
            if (gone.Match(_train.Output) is { Success: true } match) return int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
            await Task.Delay(100);
        }

        throw new TimeoutException($"The train process has not said within a minute how the node with pid {process} ended.");
    }

    /// <summary>Ends the run by command; its exit code.</summary>
    internal async Task<int> StopAsync()
    {
        await ProgramRun.ToEndAsync("ctl", "stop", "--yes", "--run", _tiny.In(_run));
        return await _train.EndAsync();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _train.Dispose();
        foreach (var node in _added) node.Dispose();
    }
}
