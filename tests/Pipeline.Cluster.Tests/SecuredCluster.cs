using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Pipeline.Protocol.Security;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Two nodes under mutual TLS, started once for all tests of a class; tensors between them travel over TCP, and so under TLS too.</summary>
[SupportedOSPlatform("linux")]
public sealed class SecuredCluster : IAsyncLifetime
{
    private readonly List<ProgramRun> _nodes = [];
    private readonly int[] _ports = [.. LoopbackPorts.Free(4)];

    internal TinyTraining Tiny { get; } = new();

    /// <summary>A configuration of the cluster's own nodes and of whoever commands them.</summary>
    internal string Configuration { get; private set; } = "";

    /// <summary>Where commands are taken.</summary>
    internal string ControlAddress => $"127.0.0.1:{_ports[2]}";

    /// <summary>Port of the first node.</summary>
    internal int FirstPort => _ports[0];

    /// <summary>The nodes' own certificate, to command them.</summary>
    internal PeerCredentials Credentials() =>
        new SecuritySettings(Tiny.In("certs/ca.crt"), Tiny.In("certs/node.crt"), Tiny.In("certs/node.key"), null, null).Load(TimeProvider.System);

    /// <summary>File with the token.</summary>
    internal string TokenPath => Tiny.In("token");

    /// <summary>What both nodes have said so far.</summary>
    internal string Output => string.Concat(_nodes.Select(node => node.Output));

    public async Task InitializeAsync()
    {
        await IssueAsync("certs", "--role", "coordinator", "--role", "stage");
        Configuration = Write("certs");
        foreach (var node in new[] { 0, 1 })
            _nodes.Add(ProgramRun.Start("node", "-c", Configuration, "--name", $"node-{node + 1}", "--set", $"cluster.port={_ports[node]}", "--set", $"cluster.control-port={_ports[node + 2]}"));
        foreach (var node in _nodes) await HandmadeNodes.UpAsync(node);
    }

    public Task DisposeAsync()
    {
        foreach (var node in _nodes) node.Dispose();
        Tiny.Dispose();
        return Task.CompletedTask;
    }

    /// <summary>Makes an authority in a folder of its own, and a certificate called node.</summary>
    internal async Task IssueAsync(string folder, params string[] more)
    {
        var (code, output) = await ProgramRun.ToEndAsync("certs", "init", "--dir", Tiny.In(folder));
        Assert.True(code == 0, output);
        (code, output) = await ProgramRun.ToEndAsync(["certs", "issue", "--dir", Tiny.In(folder), "--name", "node", "--host", "127.0.0.1", .. more]);
        Assert.True(code == 0, output);
    }

    /// <summary>Writes a configuration that names the cluster's seed nodes and the certificates of a folder.</summary>
    internal string Write(string certificates)
    {
        var path = Tiny.In(certificates + ".conf");
        File.WriteAllText(path, $$"""
            pipeline {
              link.kind = tcp
              cluster {
                seed-nodes = ["127.0.0.1:{{_ports[0]}}", "127.0.0.1:{{_ports[1]}}"]
                control-port = {{_ports[2]}}
                token-file = "{{TokenPath}}"
                join-timeout = 120
              }
              security { tls = true, ca = "{{Tiny.In(certificates)}}/ca.crt", certificate = "{{Tiny.In(certificates)}}/node.crt", key = "{{Tiny.In(certificates)}}/node.key" }
            }
            """);
        return path;
    }

    /// <summary>Starts a further node, to its end.</summary>
    internal static Task<(int Code, string Output)> NodeAsync(string configuration, int port, params string[] settings) => ProgramRun.ToEndAsync(
        ["node", "-c", configuration, "--name", "further", "--set", $"cluster.port={port}", "--set", "cluster.control-port=0", .. settings.SelectMany(setting => new[] { "--set", setting })]);

    /// <summary>Nothing that was said holds the token or a key, nor a stack trace.</summary>
    internal void AssertDiscreet(params string[] outputs)
    {
        string[] secrets = [File.ReadAllText(TokenPath).Trim(), .. Directory.GetFiles(Tiny.In("certs"), "*.key").SelectMany(File.ReadAllLines).Where(line => line.Length > 20 && !line.StartsWith('-'))];
        Assert.True(secrets.Length >= 3);
        foreach (var output in outputs.Append(Output))
        {
            Assert.All(secrets, secret => Assert.DoesNotContain(secret, output, StringComparison.Ordinal));
            Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
            Assert.DoesNotContain("Exception", output, StringComparison.Ordinal);
        }
    }
}
