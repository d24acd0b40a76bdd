using System.CommandLine;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Nodes;
using Pipeline.Protocol.Security;
using Pipeline.Runs;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline ctl status|rebalance|stop</c>: commands to a run that is under way.</summary>
internal static class CtlCommand
{
    private const string TokenVariable = "PIPELINE_TOKEN";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>How long a run may be without a leader, between the death of one and the next.</summary>
    private static readonly TimeSpan LeaderPatience = TimeSpan.FromSeconds(20);

    public static Command Create(CommandContext context) => new TaughtCommand("ctl", "Commands a run that is under way: on this machine by its directory, elsewhere by address.")
    {
        Subcommands =
        {
            Word(context, "status", "Where each stage is, the generation, the last committed step.", ("pipeline ctl status --run runs/2026-05-01-gpt-micro-001 --json", "for programs")),
            Word(context, "rebalance", "Spreads the stages over the nodes that are there now, at a step's boundary.", ("pipeline ctl rebalance --run runs/2026-05-01-gpt-micro-001", "a node that has joined takes stages over")),
            Word(context, "stop", "Ends the run after the step under way, saving first; the run's own program ends with 0.", ("pipeline ctl stop --connect 127.0.0.1:4054", "the token comes from " + TokenVariable)),
        },
    };

    private static TaughtCommand Word(CommandContext context, string name, string description, (string, string) example)
    {
        TaughtCommand command = new(name, description) { Examples = [example] };
        Option<string> run = new("--run") { HelpName = "DIR", Description = "The run's directory; its endpoint.json says where the run listens." };
        Option<string> connect = new("--connect") { HelpName = "HOST:PORT", Description = $"A node's control port; the token is in the variable {TokenVariable} or in --token-file." };
        Option<string> tokenFile = new("--token-file") { HelpName = "FILE", Description = "File that holds the token." };
        var json = ConfigCommand.JsonOption();
        foreach (var option in new Option[] { run, connect, tokenFile, json }) command.Add(option);
        ConfigurationOptions options = new(command);
        command.SetAction(async (parsed, _) =>
        {
            // A cluster with TLS answers only those who show a certificate: -c names it.
            using var credentials = RunSettingsBinder.Resolve(options.Collect(parsed, context)).Settings.Cluster.Node.Security?.Load(context.Time);
            var reply = await AskAsync(context, new(name, credentials), parsed.GetValue(run), parsed.GetValue(connect), parsed.GetValue(tokenFile)).ConfigureAwait(false);
            return Print(context, reply, parsed.GetValue(json));
        });
        return command;
    }

    private static async Task<ControlReply> AskAsync(CommandContext context, Asking asking, string? run, string? connect, string? tokenFile)
    {
        if ((run is null) == (connect is null)) throw new UsageException("Expected either --run DIR or --connect HOST:PORT.");
        if (connect is null) return await AskRunAsync(run!, asking).ConfigureAwait(false);
        if (!ControlClient.TrySplit(connect, out _, out _)) throw new UsageException($"--connect {connect}: expected HOST:PORT, such as 127.0.0.1:4054.");
        var token = tokenFile is not null ? File.ReadAllText(tokenFile).Trim() : context.Variables.GetValueOrDefault(TokenVariable)
            ?? throw new UsageException($"--connect needs the token of the endpoint: set {TokenVariable}, or name its file with --token-file. It lies beside endpoint.json.");
        return await ControlClient.AskAsync(connect, new ControlRequest(token, asking.Command), Patience, asking.Credentials).ConfigureAwait(false)
            ?? throw new RunException($"Nobody answers at {connect}. Check the address, that the node runs, and with security.tls the certificate that -c names.");
    }

    /// <summary>The endpoint moves when the run's leader is lost, so that it is read again at each try.</summary>
    private static async Task<ControlReply> AskRunAsync(string run, Asking asking)
    {
        var files = new RunFiles(Path.GetFullPath(run));
        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var endpoint = EndpointFile.Read(files.Endpoint)
                ?? throw new RunException($"No run is under way in {run}: there is no endpoint.json. Name the directory of a running run.");
            if (await RunEndpoint.AskAsync(files, asking.Command, asking.Credentials).ConfigureAwait(false) is { } reply) return reply;
            if (TimeProvider.System.GetElapsedTime(start) > LeaderPatience)
                throw new RunException($"Nobody answers at {endpoint.Address}, which {files.Endpoint} names. If the run is over, remove the file.");
            await Task.Delay(TimeSpan.FromMilliseconds(300)).ConfigureAwait(false);
        }
    }

    /// <summary>What is asked, and as whom.</summary>
    private sealed record Asking(string Command, PeerCredentials? Credentials);

    private static int Print(CommandContext context, ControlReply reply, bool asJson)
    {
        if (!reply.Done)
        {
            context.Error.WriteLine(reply.Message);
            return ExitCode.Refused;
        }

        if (asJson) context.Output.WriteLine(reply.Status is { } status
            ? JsonSerializer.Serialize(status, StatusJson)
            : JsonSerializer.Serialize(new { done = reply.Done, message = reply.Message }, JsonOutput.Options));
        else if (reply.Status is { } shown) Print(context.Output, shown);
        else context.Output.WriteLine(reply.Message);
        return ExitCode.Done;
    }

    private static JsonSerializerOptions StatusJson { get; } = new(JsonOutput.Options) { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private static void Print(TextWriter output, ControlStatus status)
    {
        output.WriteLine($"run         {status.Run}");
        output.WriteLine($"phase       {status.Phase}");
        output.WriteLine($"generation  {status.Generation}");
        output.WriteLine($"step        {status.Step}");
        foreach (var node in status.Nodes)
        {
            var ranks = status.Stages.Where(stage => stage.Node == node.Name).Select(stage => stage.Rank).ToArray();
            var duty = (node.Coordinates ? "leads, " : "") + (ranks.Length > 0 ? "stages " + string.Join(", ", ranks) : "spare");
            output.WriteLine($"node        {node.Name}  pid {node.Pid} on {node.Host}  {string.Join("+", node.Roles)}  {duty}");
        }
    }
}
