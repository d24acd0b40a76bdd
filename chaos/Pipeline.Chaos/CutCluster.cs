using System.Text.Json;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>
/// A run over nodes that each lie at a place of a <see cref="CutNetwork"/>, under mutual TLS, with a directory that all of them share. It is watched in that
/// directory, from outside of the network, so that no cut keeps anything from being seen. Ends all that it started.
/// </summary>
internal sealed class CutCluster : IDisposable
{
    private const int Port = 4053;
    private const int ControlPort = 4054;
    private readonly TinyTraining _tiny;
    private readonly RunFeed _feed;
    private readonly string _configuration;
    private readonly List<ProgramRun> _nodes = [];
    private ProgramRun? _train;
    private int _started;

    private CutCluster(TinyTraining tiny, string run, int nodes)
    {
        _tiny = tiny;
        Files = new RunFiles(tiny.In(run));
        _feed = new RunFeed(Files);
        _configuration = tiny.In(run + ".conf");
        // One more place, for whoever commands the run.
        (Network, OperatorsPlace) = (new CutNetwork(nodes + 1), nodes);
    }

    /// <summary>What may be cut.</summary>
    internal CutNetwork Network { get; }

    /// <summary>The run's files.</summary>
    internal RunFiles Files { get; }

    /// <summary>The processes by place; a process that has ended stays.</summary>
    internal IReadOnlyList<ProgramRun> Nodes => _nodes;

    /// <summary>The last step that was seen to be committed.</summary>
    internal long Step { get; private set; }

    /// <summary>The last generation that was seen to begin; 1 before any recovery.</summary>
    internal int Generation { get; private set; } = 1;

    /// <summary>The place from which the run is led.</summary>
    internal int Leader
    {
        get
        {
            using var owner = JsonDocument.Parse(File.ReadLines(Files.Journal).First());
            return PlaceOf(owner.RootElement.GetProperty("owner").GetString()!);
        }
    }

    /// <summary>The place of each rank.</summary>
    internal IReadOnlyList<int> RankPlaces => [.. RunJournal.Last(Files.Journal)!.Nodes.Select(node => PlaceOf(node.Address))];

    private int OperatorsPlace { get; }

    /// <summary>Starts nodes and a run that does not end by itself, and waits until steps are committed.</summary>
    internal static async Task<CutCluster> StartAsync(TinyTraining tiny, string run, int nodes, params IEnumerable<string> arguments)
    {
        CutCluster cluster = new(tiny, run, nodes);
        try
        {
            await cluster.ConfigureAsync(run, nodes);
            for (var place = 0; place < nodes; place++) cluster._nodes.Add(cluster.StartNode(place));
            foreach (var node in cluster._nodes) await cluster.UpAsync(node);
            cluster._train = ProgramRun.StartAt(
                cluster.Network.At(cluster.OperatorsPlace),
                tiny.Arguments(run, 1_000_000, [.. arguments, "--cluster", "-c", cluster._configuration, "--set", $"cluster.host={CutNetwork.AddressOf(cluster.OperatorsPlace)}"]));
            await cluster.CommitsAsync(5);
            return cluster;
        }
        catch
        {
            cluster.Dispose();
            throw;
        }
    }

    /// <summary>Starts another node at a place whose node has ended, and waits until it has joined.</summary>
    internal Task RestartAsync(int place)
    {
        _nodes[place].Dispose();
        _nodes[place] = StartNode(place);
        return UpAsync(_nodes[place]);
    }

    /// <summary>Waits until so many further steps are committed.</summary>
    internal async Task CommitsAsync(int steps = 3)
    {
        Look();
        var through = Step + steps;
        await UntilAsync(() => Step >= through, $"commit step {through}");
    }

    /// <summary>Waits until something is so.</summary>
    internal async Task UntilAsync(Func<bool> isSo, string what, double seconds = 240)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (!isSo())
        {
            Look();
            if (TimeProvider.System.GetElapsedTime(start).TotalSeconds > seconds) throw new TimeoutException($"{Files.Folder} did not {what} within {seconds} s.\n{Said}");
            await Task.Delay(20);
        }
    }

    /// <summary>What all processes have said, and the run's last events.</summary>
    internal string Said
    {
        get
        {
            IEnumerable<string> events = File.Exists(Files.Events) ? File.ReadLines(Files.Events).TakeLast(30) : [];
            return string.Join('\n', [.. _nodes.Select((node, place) => $"node-{place + 1}: {node.Output}"), _train?.Output ?? "", .. events]);
        }
    }

    /// <summary>Ends the run by command; the exit code of whoever followed it.</summary>
    internal async Task<int> StopAsync()
    {
        var (code, output) = await ProgramRun.ToEndAtAsync(Network.At(OperatorsPlace), "ctl", "stop", "--yes", "--run", Files.Folder, "-c", _configuration);
        if (code != 0) throw new InvalidOperationException(output + Said);
        return await _train!.EndAsync();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _train?.Dispose();
        foreach (var node in _nodes) node.Dispose();
        Network.Dispose();
    }

    private ProgramRun StartNode(int place) => ProgramRun.StartAt(
        Network.At(place), "node", "-c", _configuration, "--name", FormattableString.Invariant($"node-{place + 1}-{++_started}"), "--set", $"cluster.host={CutNetwork.AddressOf(place)}");

    private Task UpAsync(ProgramRun node) => UntilAsync(() => node.Output.Contains("is up", StringComparison.Ordinal), "get all its nodes up");

    private void Look()
    {
        foreach (var notice in _feed.Next())
        {
            if (notice is RunNotice.StepCommitted committed) Step = Math.Max(Step, committed.Step.Step);
            if (notice is RunNotice.Recovering recovering) Generation = recovering.Generation.Number;
        }
    }

    private async Task ConfigureAsync(string run, int nodes)
    {
        var folder = _tiny.In(run + "-certs");
        var hosts = Enumerable.Range(0, nodes + 1).SelectMany(place => new[] { "--host", CutNetwork.AddressOf(place) });
        string[] authority = ["certs", "init", "--dir", folder];
        string[] certificate = ["certs", "issue", "--dir", folder, "--name", "node", "--role", "coordinator", "--role", "stage", .. hosts];
        foreach (var arguments in new[] { authority, certificate })
        {
            var (code, output) = await ProgramRun.ToEndAsync(arguments);
            if (code != 0) throw new InvalidOperationException(output);
        }

        var seeds = string.Join(", ", Enumerable.Range(0, nodes).Select(place => $"\"{CutNetwork.AddressOf(place)}:{Port}\""));
        await File.WriteAllTextAsync(_configuration, $$"""
            pipeline {
              # All places are one machine: a Unix socket would pass by the network.
              link.kind = tcp
              cluster { port = {{Port}}, control-port = {{ControlPort}}, seed-nodes = [{{seeds}}], token-file = "{{_tiny.In(run)}}.token" }
              security { tls = true, ca = "{{folder}}/ca.crt", certificate = "{{folder}}/node.crt", key = "{{folder}}/node.key" }
            }
            """);
    }

    private static int PlaceOf(string address)
    {
        var end = address.LastIndexOf(FormattableString.Invariant($":{Port}"), StringComparison.Ordinal);
        return int.Parse(address[(address[..end].LastIndexOf('.') + 1)..end], System.Globalization.CultureInfo.InvariantCulture) - 1;
    }
}
