using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Pipeline.Protocol.Security;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Rows A1, A8, F14 and P1 of the fault matrix with real processes: nodes under mutual TLS train the same bits; who is a stranger, or differs, stays outside and is told why.</summary>
[SupportedOSPlatform("linux")]
public sealed class SecuredClusterTests(SecuredCluster cluster) : IClassFixture<SecuredCluster>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Nodes_with_certificates_train_the_same_bits_over_tls()
    {
        Assert.Contains("Mutual TLS as node (coordinator and stage", cluster.Output, StringComparison.Ordinal);
        var (code, output) = await ProgramRun.ToEndAsync(cluster.Tiny.Arguments("secured", TinyTraining.Steps, "--stages", "2", "--cluster", "-c", cluster.Configuration));
        Assert.True(code == 0, output + cluster.Output);
        Assert.Equal((await cluster.Tiny.ReferenceAsync()).Lines, RunBits.Of(cluster.Tiny.In("secured")).Lines);
        cluster.AssertDiscreet([output, .. Directory.GetFiles(cluster.Tiny.In("secured"), "*.*").Where(file => Path.GetExtension(file) is ".conf" or ".jsonl").Select(File.ReadAllText)]);
    }

    [Fact]
    public async Task Every_node_measures_its_own_costs_a_plan_takes_them_and_the_run_that_it_makes_has_the_bits_of_the_unsplit_trainer()
    {
        await StatusAsync(status => status.Phase == "idle");
        var (code, output) = await ProgramRun.ToEndAsync(["profile", "--cluster", "-c", cluster.Configuration, "--seconds", "0", .. Model()]);
        Assert.True(code == 0, output + cluster.Output);
        Assert.Matches(@"node-1 .* 1\.00", output);
        Assert.Matches(@"node-2 +\S+ +2 ", output);

        (code, output) = await ProgramRun.ToEndAsync(["plan", "--cluster", "-c", cluster.Configuration, .. Model()]);
        Assert.True(code == 0, output);
        Assert.Contains("node-1 measured (1.00)", output, StringComparison.Ordinal);
        Assert.Contains("node-2 measured (", output, StringComparison.Ordinal);
        Assert.Contains("costs    measured on node node-1 of ", output, StringComparison.Ordinal);

        (code, output) = await ProgramRun.ToEndAsync(cluster.Tiny.Arguments("planned", TinyTraining.Steps, "--stages", "2", "--cluster", "-c", cluster.Configuration, "--set", "plan=auto"));
        Assert.True(code == 0, output + cluster.Output);
        Assert.Equal((await cluster.Tiny.ReferenceAsync()).Lines, RunBits.Of(cluster.Tiny.In("planned")).Lines);
        var read = PlannedRun.AssertCarriedOut(cluster.Tiny.In("planned"), output);
        string[] nodes = read.Value("planned-nodes").Split(',');
        var placed = EventLog.Read(new RunFiles(cluster.Tiny.In("planned")).Events).First(line => line.Name == "placed").Fields["ranks"];
        Assert.Equal(2, nodes.Length);
        Assert.All(nodes.Index(), node => Assert.Contains($"{node.Index} on {node.Item}", placed, StringComparison.Ordinal));
        // What was predicted is in seconds, since each rank's node was measured.
        Assert.Matches("ms a step, measured|no more steps than those", output);
        cluster.AssertDiscreet(output);
    }

    /// <summary>The model of the runs here.</summary>
    private IEnumerable<string> Model() => ["--preset", "gpt-nano", "--set", $"data.cache=\"{cluster.Tiny.In("cache")}\"", "--precision", "fp32", "--stages", "2", "--set", "schedule.micro-batches=4",
        "--set", "model.layers=2", "--set", "model.width=32", "--set", "model.heads=2", "--set", "model.context=32", "--set", "model.vocabulary=257"];

    [Fact]
    public async Task A_stranger_with_a_foreign_certificate_ends_with_2_and_is_told_what_to_do()
    {
        await cluster.IssueAsync("foreign", "--role", "coordinator", "--role", "stage");
        var start = TimeProvider.System.GetTimestamp();
        var (code, output) = await SecuredCluster.NodeAsync(cluster.Write("foreign"), 0, "cluster.join-timeout=180");
        Assert.True(code == 2, output);
        Assert.Contains("not signed by the run's authority", output, StringComparison.Ordinal);
        Assert.Contains("Give all nodes certificates of one authority", output, StringComparison.Ordinal);
        // What cannot become right by waiting is not waited for.
        Assert.True(TimeProvider.System.GetElapsedTime(start) < TimeSpan.FromSeconds(120), output);
        cluster.AssertDiscreet(output);
    }

    [Fact]
    public async Task A_token_without_a_certificate_commands_nothing()
    {
        var (code, output) = await ProgramRun.ToEndAsync("ctl", "status", "--connect", cluster.ControlAddress, "--token-file", cluster.TokenPath);
        Assert.True(code == 2, output);
        Assert.Contains("security.tls", output, StringComparison.Ordinal);
        (code, output) = await ProgramRun.ToEndAsync("ctl", "status", "--connect", cluster.ControlAddress, "--token-file", cluster.TokenPath, "-c", cluster.Configuration);
        Assert.True(code == 0, output);
        cluster.AssertDiscreet(output);
    }

    [Fact]
    public async Task A_node_with_other_settings_or_of_another_cluster_is_refused_with_the_difference()
    {
        var other = SecuredCluster.NodeAsync(cluster.Configuration, 0, "link.window=8");
        var elsewhere = SecuredCluster.NodeAsync(cluster.Configuration, 0, "cluster.name=pipelime", "cluster.join-timeout=4");
        var (code, output) = await other;
        Assert.True(code == 2, output);
        Assert.Contains("differs from the leader in link.window: 8 there, 64 at the leader. Give every node the same value.", output, StringComparison.Ordinal);
        (code, output) = await elsewhere;
        Assert.True(code == 2, output);
        Assert.Contains("give every node the same list and the same cluster.name", output, StringComparison.Ordinal);
        cluster.AssertDiscreet(output);
    }

    [Fact]
    public async Task A_run_goes_on_without_its_submitter_its_links_are_seen_and_it_is_stopped_by_command()
    {
        using (var train = ProgramRun.Start(cluster.Tiny.Arguments("detached", 100_000, "--stages", "2", "--cluster", "-c", cluster.Configuration)))
        {
            // Not the steps of a run before it: a signal that comes before the program listens for it is not heard.
            await train.SaysAsync("loss");
            // SIGINT does the same, but is ignored by what a shell has started in the background, such as this test's process may be.
            train.Signal(Signal.Terminate);
            Assert.Equal(130, await train.EndAsync());
            Assert.Contains("the run goes on", train.Output, StringComparison.Ordinal);
        }

        var status = await ProgressAsync((await ProgressAsync(0)).Step);
        Assert.Equal(["tls"], status.Links.Select(link => link.Kind).Distinct());
        Assert.Contains(status.Links, link => link is { Purpose: "frames", FromRank: 0, ToRank: 1, Connected: true, Bytes: > 0 });
        await AssertMistakesAreRefusedAsync("detached");
        await AssertWhoMayCommandAsync("detached");
        // Nodes that are at a run measure nothing: it would lose time, and the figures would be wrong.
        var (code, output) = await ProgramRun.ToEndAsync(["profile", "--cluster", "-c", cluster.Configuration, .. Model()]);
        Assert.True(code == 2, output);
        Assert.Contains("The cluster is busy with the run in", output, StringComparison.Ordinal);
        (code, output) = await ProgramRun.ToEndAsync("ctl", "stop", "--yes", "--run", cluster.Tiny.In("detached"), "-c", cluster.Configuration);
        Assert.True(code == 0, output);
        // The nodes are free again once the run has ended.
        await StatusAsync(status => status.Phase == "idle");
        cluster.AssertDiscreet(output);
    }

    [Fact]
    public async Task Without_certificates_no_node_leaves_loopback()
    {
        var (code, output) = await ProgramRun.ToEndAsync("node", "--set", "cluster.host=10.0.0.1");
        Assert.Equal(2, code);
        Assert.Contains("Without TLS a node binds to loopback only", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_role_that_the_certificate_does_not_grant_is_refused_before_anything_starts()
    {
        await cluster.IssueAsync("stage-only", "--role", "stage");
        var (code, output) = await SecuredCluster.NodeAsync(cluster.Write("stage-only"), 0);
        Assert.Equal(2, code);
        Assert.Contains("does not grant coordinator", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_node_that_is_started_twice_is_told_that_its_port_is_taken()
    {
        var (code, output) = await SecuredCluster.NodeAsync(cluster.Configuration, cluster.FirstPort);
        Assert.True(code == 2, output);
        Assert.Contains($"cannot listen on 127.0.0.1:{cluster.FirstPort}", output, StringComparison.Ordinal);
        cluster.AssertDiscreet(output);
    }

    /// <summary>Row P1: a second run, the same run once more, and a cluster that there is not, each in a sentence and before the first step; the run does not notice.</summary>
    private async Task AssertMistakesAreRefusedAsync(string run)
    {
        var (code, output) = await ProgramRun.ToEndAsync(cluster.Tiny.Arguments("beside", 100, "--stages", "2", "--cluster", "-c", cluster.Configuration));
        Assert.True(code == 2, output);
        Assert.Contains($"The cluster is busy with the run in {cluster.Tiny.In(run)}. Wait for its end, or stop it with: pipeline ctl stop", output, StringComparison.Ordinal);
        (code, output) = await ProgramRun.ToEndAsync("train", "--resume", cluster.Tiny.In(run), "--steps", "200000");
        Assert.True(code == 2, output);
        Assert.Contains("is in use by process", output, StringComparison.Ordinal);
        (code, output) = await ProgramRun.ToEndAsync(cluster.Tiny.Arguments("nowhere", 100, "--stages", "2", "--cluster", "-c", cluster.Configuration, "--set", "cluster.control-port=1"));
        Assert.True(code == 2, output);
        Assert.Contains("No node answers at 127.0.0.1:1. Start one with `pipeline node`", output, StringComparison.Ordinal);
        Assert.Contains("correct cluster.seed-nodes and cluster.control-port", output, StringComparison.Ordinal);
        // No run is left by either, so that the same command may be given again.
        Assert.All(["beside", "nowhere"], name => Assert.False(File.Exists(new RunFiles(cluster.Tiny.In(name)).Configuration)));
    }

    /// <summary>A certificate of the authority with the right role commands; one with another role, no certificate, and a wrong token do not, and are written down.</summary>
    private async Task AssertWhoMayCommandAsync(string run)
    {
        var token = File.ReadAllText(cluster.TokenPath).Trim();
        using var mute = await CredentialsAsync("mute", "stage");
        using var chief = await CredentialsAsync("chief", "operator");
        var refused = await CommandAsync(token, mute);
        Assert.Contains("grants no role that may command", refused!.Message, StringComparison.Ordinal);
        Assert.Null(await CommandAsync(token, null));
        Assert.Contains("The token is not that of this endpoint", (await CommandAsync(new string('0', token.Length), chief))!.Message, StringComparison.Ordinal);
        Assert.True((await CommandAsync(token, chief))!.Done);

        var audit = new RunFiles(cluster.Tiny.In(run)).Events;
        string[] expected = ["The certificate grants no role that may command", "No certificate that may command", "The token is not that of this endpoint"];
        // Written by another process than the one that answered.
        for (var tries = 0; tries < 2000 && !expected.All(sentence => Refusals().Any(line => line.Fields["result"].Contains(sentence, StringComparison.Ordinal))); tries++) await Task.Delay(50);
        Assert.All(expected, sentence => Assert.Contains(Refusals(), line => line.Fields["result"].Contains(sentence, StringComparison.Ordinal) && line.Fields["operator"].StartsWith("127.0.0.1:", StringComparison.Ordinal)));
        Assert.Contains(EventLog.Read(audit), line => line.Name == "command-done" && line.Fields["command"] == "cordon node-2" && line.Fields["operator"] == "somebody");

        IEnumerable<RecordedEvent> Refusals() => EventLog.Read(audit).Where(line => line.Name == "command-refused");
    }

    private Task<ControlReply?> CommandAsync(string token, PeerCredentials? credentials) => ControlClient.AskAsync(
        cluster.ControlAddress, new ControlRequest(token, ControlCommand.Operate, Line: "cordon node-2", Operator: "somebody", Id: Guid.NewGuid().ToString("N")), Patience, credentials);

    private async Task<PeerCredentials> CredentialsAsync(string name, string role)
    {
        var (code, output) = await ProgramRun.ToEndAsync("certs", "issue", "--dir", cluster.Tiny.In("certs"), "--name", name, "--host", "127.0.0.1", "--role", role);
        Assert.True(code == 0, output);
        return new SecuritySettings(cluster.Tiny.In("certs/ca.crt"), cluster.Tiny.In($"certs/{name}.crt"), cluster.Tiny.In($"certs/{name}.key"), null, null).Load(TimeProvider.System);
    }

    private Task<ControlStatus> ProgressAsync(long after) => StatusAsync(status => status.Step > after && status.Phase == "running");

    private async Task<ControlStatus> StatusAsync(Func<ControlStatus, bool> until)
    {
        using var credentials = cluster.Credentials();
        var token = File.ReadAllText(cluster.TokenPath).Trim();
        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var reply = await ControlClient.AskAsync(cluster.ControlAddress, new ControlRequest(token, ControlCommand.Status), Patience, credentials);
            if (reply?.Status is { } status && until(status)) return status;
            Assert.True(TimeProvider.System.GetElapsedTime(start) < TimeSpan.FromSeconds(180), $"{reply} {cluster.Output}");
            await Task.Delay(50);
        }
    }
}
