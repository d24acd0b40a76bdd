using System.CommandLine;
using System.Text.Json.Nodes;
using Pipeline.Cli.Commands;
using Pipeline.Cli.Configuration;
using Pipeline.Nodes;
using Pipeline.Protocol.Security;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>
/// The way from an operator's program to a run: its control port, named by the run's directory or by an address. No member of the cluster,
/// so that its end is nobody's concern. A run's leader may change: each request finds the present one.
/// </summary>
internal sealed class RunConnection : IDisposable
{
    private const string TokenVariable = "PIPELINE_TOKEN";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(34);

    /// <summary>How long a run may be without a leader, between the death of one and the next.</summary>
    private static readonly TimeSpan LeaderPatience = TimeSpan.FromSeconds(20);

    private readonly CommandContext _context;
    private readonly string? _run;
    private readonly string? _connect;
    private readonly string? _tokenFile;
    private readonly PeerCredentials? _credentials;

    private RunConnection(CommandContext context, string? run, string? connect, string? tokenFile, PeerCredentials? credentials)
    {
        if ((run is null) == (connect is null)) throw new UsageException("Expected either --run DIR or --connect HOST:PORT.");
        if (connect is not null && !ControlClient.TrySplit(connect, out _, out _)) throw new UsageException($"--connect {connect}: expected HOST:PORT, such as 127.0.0.1:4054.");
        (_context, _run, _connect, _tokenFile, _credentials) = (context, run, connect, tokenFile, credentials);
    }

    /// <summary>What it is connected to, for people.</summary>
    public string Name => SafeText.Of(_run ?? _connect);

    /// <summary>Adds the options that name a run; the result opens the connection of a parsed line.</summary>
    public static Func<ParseResult, RunConnection> AddTo(Command command, CommandContext context)
    {
        Option<string> run = new("--run") { HelpName = "DIR", Description = "The run's directory; its endpoint.json says where the run listens." };
        Option<string> connect = new("--connect") { HelpName = "HOST:PORT", Description = $"A node's control port; the token is in the variable {TokenVariable} or in --token-file." };
        Option<string> tokenFile = new("--token-file") { HelpName = "FILE", Description = "File that holds the token." };
        foreach (var option in new Option[] { run, connect, tokenFile }) command.Add(option);
        ConfigurationOptions options = new(command);
        // A cluster with TLS answers only those who show a certificate: -c names it.
        return parsed => new RunConnection(context, parsed.GetValue(run), parsed.GetValue(connect), parsed.GetValue(tokenFile),
            RunSettingsBinder.Resolve(options.Collect(parsed, context)).Settings.Cluster.Node.Security?.Load(context.Time));
    }

    /// <summary>Has a command of the catalogue carried out.</summary>
    public Task<ControlReply> OperateAsync(string line)
    {
        // The same at every try, so that a command whose answer was lost is not carried out twice.
        var id = Guid.NewGuid().ToString("N");
        return AskAsync(token => new ControlRequest(token, ControlCommand.Operate, Line: line, Operator: $"{Environment.UserName}@{Environment.MachineName}", Id: id));
    }

    /// <summary>What may stand at the end of an unfinished line.</summary>
    public async Task<IReadOnlyList<string>> CompleteAsync(string line)
    {
        var reply = await AskAsync(token => new ControlRequest(token, ControlCommand.Complete, Line: line)).ConfigureAwait(false);
        return reply.Done ? reply.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries) : [];
    }

    /// <summary>The status: what the cluster says, with what the leader has seen of the run where there is one.</summary>
    public async Task<(string? Refusal, JsonObject? Status)> StatusAsync()
    {
        var cluster = await AskAsync(token => new ControlRequest(token, ControlCommand.Status)).ConfigureAwait(false);
        if (!cluster.Done || cluster.Status is not { } known) return (cluster.Message, null);
        var status = System.Text.Json.JsonSerializer.SerializeToNode(known, ControlJson.Default.ControlStatus)!.AsObject();
        var run = await OperateAsync("status").ConfigureAwait(false);
        if (!run.Done || run.Json is null || JsonNode.Parse(run.Json) is not JsonObject more) return (null, status);
        foreach (var (name, value) in more.Where(field => !status.ContainsKey(field.Key)).ToArray()) status[name] = value?.DeepClone();
        return (null, status);
    }

    public void Dispose() => _credentials?.Dispose();

    private async Task<ControlReply> AskAsync(Func<string, ControlRequest> request)
    {
        if (_connect is null) return await AskRunAsync(request).ConfigureAwait(false);
        var token = _tokenFile is not null ? await ReadTokenAsync(_tokenFile).ConfigureAwait(false) : _context.Variables.GetValueOrDefault(TokenVariable)
            ?? throw new UsageException($"--connect needs the token of the endpoint: set {TokenVariable}, or name its file with --token-file. It lies beside endpoint.json.");
        return await ControlClient.AskAsync(_connect, request(token), Patience, _credentials).ConfigureAwait(false)
            ?? throw new RunException($"Nobody answers at {_connect}. Check the address, that the node runs, and with security.tls the certificate that -c names.");
    }

    private static async Task<string> ReadTokenAsync(string path)
    {
        try
        {
            return (await File.ReadAllTextAsync(path).ConfigureAwait(false)).Trim();
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--token-file {path}: {unreadable.Message.TrimEnd('.')}. Name the endpoint.token in the run's directory, or the file that cluster.token-file of its nodes names.");
        }
    }

    /// <summary>The endpoint moves when the run's leader is lost, so that it is read again at each try.</summary>
    private async Task<ControlReply> AskRunAsync(Func<string, ControlRequest> request)
    {
        var files = new RunFiles(Path.GetFullPath(_run!));
        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var endpoint = EndpointFile.Read(files.Endpoint)
                ?? throw new RunException($"No run is under way in {_run}: there is no {(Directory.Exists(files.Folder) ? "endpoint.json" : "such directory")}. Name the directory of a running run.");
            if (await RunEndpoint.AskAsync(files, request, _credentials).ConfigureAwait(false) is { } reply) return reply;
            if (TimeProvider.System.GetElapsedTime(start) > LeaderPatience)
                throw new RunException($"Nobody answers at {endpoint.Address}, which {files.Endpoint} names. If the run is over, remove the file.");
            await Task.Delay(TimeSpan.FromMilliseconds(300)).ConfigureAwait(false);
        }
    }
}
