using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Row A1 of the fault matrix with real processes: nodes under mutual TLS train the same bits, and a stranger neither joins nor commands.</summary>
[SupportedOSPlatform("linux")]
public sealed class SecuredClusterTests(TinyTraining tiny) : IClassFixture<TinyTraining>
{
    [Fact]
    public async Task Nodes_with_certificates_train_the_same_bits_and_strangers_stay_outside()
    {
        await IssueAsync("certs", "node", "--role", "coordinator", "--role", "stage", "--host", "127.0.0.1");
        await IssueAsync("foreign", "node", "--role", "coordinator", "--role", "stage", "--host", "127.0.0.1");
        int[] ports = [.. LoopbackPorts.Free(5)];
        var configuration = Configuration("certs", ports[..2], ports[2]);
        using var first = Node(configuration, ports[0], ports[2]);
        using var second = Node(configuration, ports[1], ports[3]);
        await SaidAsync(first, "is up");
        await SaidAsync(second, "is up");
        Assert.Contains("Mutual TLS as node (coordinator and stage", first.Output, StringComparison.Ordinal);

        using var stranger = Node(Configuration("foreign", ports[..2], ports[2], "cluster.join-timeout = 5"), ports[4], 0);
        var (code, output) = await ProgramRun.ToEndAsync(tiny.Arguments("secured", TinyTraining.Steps, "--stages", "2", "--cluster", "-c", configuration));
        Assert.True(code == 0, output + first.Output + second.Output);
        Assert.Equal((await tiny.ReferenceAsync()).Lines, RunBits.Of(tiny.In("secured")).Lines);

        Assert.NotEqual(0, await stranger.EndAsync());
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
        await IssueAsync("stage-only", "node", "--role", "stage", "--host", "127.0.0.1");
        var (code, output) = await ProgramRun.ToEndAsync("node", "-c", Configuration("stage-only", [LoopbackPorts.Free(1)[0]], 0));
        Assert.Equal(2, code);
        Assert.Contains("does not grant coordinator", output, StringComparison.Ordinal);
    }

    private static ProgramRun Node(string configuration, int port, int controlPort) =>
        ProgramRun.Start("node", "-c", configuration, "--name", $"node-{port}", "--set", $"cluster.port={port}", "--set", $"cluster.control-port={controlPort}");

    private async Task IssueAsync(string folder, string name, params string[] more)
    {
        var (code, output) = await ProgramRun.ToEndAsync("certs", "init", "--dir", tiny.In(folder));
        Assert.True(code == 0, output);
        (code, output) = await ProgramRun.ToEndAsync(["certs", "issue", "--dir", tiny.In(folder), "--name", name, .. more]);
        Assert.True(code == 0, output);
    }

    private string Configuration(string certificates, int[] seedPorts, int controlPort, string more = "")
    {
        var path = tiny.In(certificates + ".conf");
        File.WriteAllText(path, $$"""
            pipeline {
              cluster {
                seed-nodes = [{{string.Join(", ", seedPorts.Select(port => $"\"127.0.0.1:{port}\""))}}]
                control-port = {{controlPort}}
                token-file = "{{tiny.In("token")}}"
              }
              security { tls = true, ca = "{{tiny.In(certificates)}}/ca.crt", certificate = "{{tiny.In(certificates)}}/node.crt", key = "{{tiny.In(certificates)}}/node.key" }
              {{more}}
            }
            """);
        return path;
    }

    private static async Task SaidAsync(ProgramRun run, string words)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (!run.Output.Contains(words, StringComparison.Ordinal))
        {
            Assert.True(!run.HasEnded && TimeProvider.System.GetElapsedTime(start) < TimeSpan.FromSeconds(60), run.Output);
            await Task.Delay(50);
        }
    }
}
