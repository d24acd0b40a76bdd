using System.Diagnostics;
using Pipeline.Runs;

namespace Pipeline.Nodes;

/// <summary>
/// A node that this process has started on this machine. Its standard input is a pipe that closes with this process, however it ends, and
/// the node with it. What it says goes into a log file.
/// </summary>
public sealed class LocalNode : IDisposable
{
    private readonly Process _process;
    private readonly StreamWriter _log;
    private string _lastLine = "";

    private LocalNode(string name, string endpointPath, Process process, StreamWriter log)
    {
        (Name, EndpointPath, _process, _log) = (name, endpointPath, process, log);
        ProcessId = process.Id;
        _process.OutputDataReceived += (_, line) => Log(line.Data);
        _process.ErrorDataReceived += (_, line) => Log(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Its name in the cluster.</summary>
    public string Name { get; }

    /// <summary>Its process.</summary>
    public int ProcessId { get; }

    /// <summary>The file that it writes once it has joined.</summary>
    public string EndpointPath { get; }

    /// <summary>Whether it has ended.</summary>
    public bool HasEnded => _process.HasExited;

    /// <summary>Its exit code, once it has ended; 128 + the signal's number where a signal ended it.</summary>
    public int ExitCode => _process.ExitCode;

    /// <summary>The last line that it said.</summary>
    public string LastLine => Volatile.Read(ref _lastLine);

    /// <summary>Starts one.</summary>
    /// <param name="program">The program and its leading arguments, up to the word <c>node</c>.</param>
    /// <param name="settings">Who it is; its endpoint's path must be set.</param>
    /// <param name="logPath">Where its words go.</param>
    /// <param name="words">Further settings, as <c>key=value</c>.</param>
    public static LocalNode Start(IReadOnlyList<string> program, NodeSettings settings, string logPath, IReadOnlyList<string> words)
    {
        ProcessStartInfo start = new(program[0]) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in program.Skip(1).Concat(ArgumentsOf(settings)).Concat(words.SelectMany(word => (string[])["--set", word]))) start.ArgumentList.Add(argument);
        // The settings of the run travel with its submission; this program's environment has no say in a node.
        foreach (var name in start.Environment.Keys.Where(name => name.StartsWith("PIPELINE__", StringComparison.Ordinal)).ToArray()) start.Environment.Remove(name);
        var process = Process.Start(start) ?? throw new InvalidOperationException($"{program[0]} did not start.");
        return new LocalNode(settings.Name, settings.EndpointPath!, process, new StreamWriter(logPath, append: true) { AutoFlush = true });
    }

    /// <summary>Where it takes commands; null before it has joined.</summary>
    public EndpointFile? Endpoint() => EndpointFile.Read(EndpointPath);

    /// <summary>Asks it to end, and waits; after the patience it is killed.</summary>
    public async Task EndAsync(TimeSpan patience)
    {
        if (!_process.HasExited) _process.StandardInput.Close();
        using CancellationTokenSource limit = new(patience);
        await _process.WaitForExitAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_process.HasExited) return;
        _process.Kill();
        await _process.WaitForExitAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _process.Dispose();
        lock (_log) _log.Dispose();
    }

    private static IEnumerable<string> ArgumentsOf(NodeSettings settings) =>
    [
        "node",
        "--name", settings.Name,
        "--endpoint", settings.EndpointPath!,
        "--until-stdin-closes",
        "--set", "cluster.name=" + settings.Cluster,
        "--set", "cluster.host=" + settings.Host,
        "--set", FormattableString.Invariant($"cluster.port={settings.Port}"),
        "--set", FormattableString.Invariant($"cluster.control-port={settings.ControlPort}"),
        "--set", $"cluster.seed-nodes=[{string.Join(",", settings.SeedNodes)}]",
        "--set", "cluster.token-file=" + settings.TokenPath,
        "--set", $"cluster.roles=[{string.Join(",", settings.Roles)}]",
        "--set", FormattableString.Invariant($"cluster.join-timeout={settings.JoinPatience.TotalSeconds}"),
    ];

    private void Log(string? line)
    {
        if (line is null) return;
        if (line.Length > 0) Volatile.Write(ref _lastLine, line);
        lock (_log)
        {
            if (_log.BaseStream is { CanWrite: true }) _log.WriteLine(line);
        }
    }
}
