using System.Net;
using System.Net.Sockets;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Processes of one machine that start and find each other.</summary>
public sealed class LocalClusterTests
{
    [Fact]
    public async Task A_port_that_another_program_took_first_is_given_up_for_another()
    {
        using TcpListener another = new(IPAddress.Loopback, LoopbackPorts.Free(1)[0]);
        another.Start();
        var taken = ((IPEndPoint)another.LocalEndpoint).Port;
        var logs = Directory.CreateTempSubdirectory("pipeline-local-").FullName;
        var asked = 0;
        await using (var cluster = await LocalCluster.StartAsync(["dotnet", Executable.Path], 2, logs, [], CancellationToken.None, count => ++asked == 1 ? [taken, .. LoopbackPorts.Free(count - 1)] : LoopbackPorts.Free(count)))
        {
            Assert.Equal(2, asked);
            Assert.All(cluster.Nodes, node => Assert.NotNull(node.Endpoint()));
        }

        Assert.Contains($"cannot listen on 127.0.0.1:{taken}", await File.ReadAllTextAsync(Path.Combine(logs, "node-1.log")), StringComparison.Ordinal);
        Directory.Delete(logs, recursive: true);
    }
}
