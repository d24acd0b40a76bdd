using Pipeline.Runs;

namespace Pipeline.Nodes;

/// <summary>
/// A cluster of processes on this machine that live as long as this one: each may lead and may hold stages. It watches them, and tells the
/// survivors at once of a death, so that membership need not find out by silence.
/// </summary>
public sealed class LocalCluster : IAsyncDisposable
{
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan JoinPatience = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan AskPatience = TimeSpan.FromSeconds(25);
    private const int Starts = 4;
    private readonly string _folder;
    private readonly HashSet<string> _reported = new(StringComparer.Ordinal);

    private LocalCluster(string folder, IReadOnlyList<LocalNode> nodes) => (_folder, Nodes) = (folder, nodes);

    /// <summary>All nodes, also those that have ended.</summary>
    public IReadOnlyList<LocalNode> Nodes { get; }

    /// <summary>Those that live.</summary>
    public IEnumerable<LocalNode> Living => Nodes.Where(node => !node.HasEnded);

    /// <summary>Starts the processes, and waits until every one that lives has joined. Where another program takes a port first, all start anew on other ports.</summary>
    /// <param name="program">The program and its leading arguments, up to the word <c>node</c>.</param>
    /// <param name="count">Processes, at least 2.</param>
    /// <param name="logFolder">Where their words go, a file each.</param>
    /// <param name="words">Further settings of each node, as <c>key=value</c>.</param>
    /// <param name="cancellation">Ends the wait, and the processes.</param>
    /// <param name="ports">Chooses so many ports of the loopback.</param>
    /// <exception cref="RunException">None is left, or the patience is over.</exception>
    public static async Task<LocalCluster> StartAsync(
        IReadOnlyList<string> program, int count, string logFolder, IReadOnlyList<string> words, CancellationToken cancellation, Func<int, IReadOnlyList<int>>? ports = null)
    {
        for (var start = 1; ; start++)
        {
            var cluster = Start(program, count, logFolder, words, (ports ?? LoopbackPorts.Free)(count));
            var isWhole = false;
            try
            {
                isWhole = await cluster.JoinAsync(mayGiveUp: start < Starts, cancellation).ConfigureAwait(false);
                if (isWhole) return cluster;
            }
            finally
            {
                if (!isWhole) await cluster.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Asks whoever leads, through any node that answers.</summary>
    /// <returns>The answer; null where no node answers.</returns>
    public async Task<ControlReply?> AskAsync(Func<string, ControlRequest> requestWithToken)
    {
        foreach (var node in Living)
        {
            if (node.Endpoint() is not { } endpoint || endpoint.ReadToken() is not { } token) continue;
            if (await ControlClient.AskAsync(endpoint.Address, requestWithToken(token), AskPatience).ConfigureAwait(false) is { } reply) return reply;
        }

        return null;
    }

    /// <summary>Nodes that have ended since the last call; the survivors are told.</summary>
    public IReadOnlyList<LocalNode> NewlyEnded()
    {
        LocalNode[] ended = [.. Nodes.Where(node => node.HasEnded && _reported.Add(node.Name))];
        foreach (var node in ended) _ = AskAsync(token => new ControlRequest(token, ControlCommand.ReportDead, Node: node.Name, ProcessId: node.ProcessId));
        return ended;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(Nodes.Select(node => node.EndAsync(EndPatience))).ConfigureAwait(false);
        foreach (var node in Nodes) node.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static LocalCluster Start(IReadOnlyList<string> program, int count, string logFolder, IReadOnlyList<string> words, IReadOnlyList<int> ports)
    {
        var folder = ShortFolder.Create();
        Directory.CreateDirectory(logFolder);
        string[] seeds = [.. ports.Select(port => FormattableString.Invariant($"127.0.0.1:{port}"))];
        List<LocalNode> nodes = [];
        for (var index = 0; index < count; index++)
        {
            var name = FormattableString.Invariant($"node-{index + 1}");
            NodeSettings settings = new()
            {
                Name = name,
                Cluster = FormattableString.Invariant($"pipeline-{Environment.ProcessId}"),
                Host = "127.0.0.1",
                Port = ports[index],
                SeedNodes = seeds,
                Roles = [NodeRole.Coordinator, NodeRole.Stage],
                ControlPort = 0,
                TokenPath = Path.Combine(folder, "token"),
                JoinPatience = JoinPatience,
                EndpointPath = Path.Combine(folder, name + ".json"),
            };
            nodes.Add(LocalNode.Start(program, settings, Path.Combine(logFolder, name + ".log"), words));
        }

        return new LocalCluster(folder, nodes);
    }

    /// <summary>Waits until every node that lives has joined.</summary>
    /// <returns>False where one of them found its port taken, and the caller may choose others.</returns>
    private async Task<bool> JoinAsync(bool mayGiveUp, CancellationToken cancellation)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (Living.Any(node => node.Endpoint() is null) || !Living.Any())
        {
            if (mayGiveUp && Nodes.Any(node => node.HasEnded && NodeProcess.IsPortTaken(node.LastLine))) return false;
            if (!Living.Any())
                throw new RunException($"All {Nodes.Count} processes ended before they had joined each other; {LastWords(Nodes[0])}");
            if (TimeProvider.System.GetElapsedTime(start) > JoinPatience)
                throw new RunException($"The {Nodes.Count} processes did not find each other within {JoinPatience.TotalSeconds:0} s: {string.Join("; ", Nodes.Where(node => node.Endpoint() is null).Select(LastWords))}");
            await Task.Delay(TimeSpan.FromMilliseconds(50), cancellation).ConfigureAwait(false);
        }

        return true;
    }

    private static string LastWords(LocalNode node) =>
        FormattableString.Invariant($"{node.Name} {(node.HasEnded ? $"ended with code {node.ExitCode}" : "has not joined")}, its last words: {node.LastLine}");
}
