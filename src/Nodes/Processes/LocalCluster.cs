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
    private readonly string _folder;
    private readonly HashSet<string> _reported = new(StringComparer.Ordinal);

    private LocalCluster(string folder, IReadOnlyList<LocalNode> nodes) => (_folder, Nodes) = (folder, nodes);

    /// <summary>All nodes, also those that have ended.</summary>
    public IReadOnlyList<LocalNode> Nodes { get; }

    /// <summary>Those that live.</summary>
    public IEnumerable<LocalNode> Living => Nodes.Where(node => !node.HasEnded);

    /// <summary>Starts the processes; they join each other on their own.</summary>
    /// <param name="program">The program and its leading arguments, up to the word <c>node</c>.</param>
    /// <param name="count">Processes, at least 2.</param>
    /// <param name="logFolder">Where their words go, a file each.</param>
    /// <param name="words">Further settings of each node, as <c>key=value</c>.</param>
    public static LocalCluster Start(IReadOnlyList<string> program, int count, string logFolder, IReadOnlyList<string> words)
    {
        var folder = ShortFolder.Create();
        Directory.CreateDirectory(logFolder);
        var ports = LoopbackPorts.Free(count);
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
    /// <exception cref="RunException">None is left, or the patience is over.</exception>
    public async Task JoinedAsync(CancellationToken cancellation)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (Living.Any(node => node.Endpoint() is null) || !Living.Any())
        {
            if (!Living.Any())
                throw new RunException($"All {Nodes.Count} processes ended before they had joined each other; {Nodes[0].Name} with code {Nodes[0].ExitCode}: {Nodes[0].LastLine}");
            if (TimeProvider.System.GetElapsedTime(start) > JoinPatience)
                throw new RunException($"The {Nodes.Count} processes did not find each other within {JoinPatience.TotalSeconds:0} s; their logs say why.");
            await Task.Delay(TimeSpan.FromMilliseconds(50), cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Asks whoever leads, through any node that answers.</summary>
    /// <returns>The answer; null where no node answers.</returns>
    public async Task<ControlReply?> AskAsync(Func<string, ControlRequest> requestWithToken)
    {
        foreach (var node in Living)
        {
            if (node.Endpoint() is not { } endpoint) continue;
            var token = await File.ReadAllTextAsync(endpoint.TokenPath).ConfigureAwait(false);
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
}
