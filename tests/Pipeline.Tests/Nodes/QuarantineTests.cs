using System.Net;
using System.Net.Sockets;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Security.Guard;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Nodes;

public sealed class QuarantineTests
{
    private const string ClusterName = "quarantine";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    [Fact]
    public async Task A_node_that_a_peer_has_quarantined_ends_and_says_so_though_nobody_has_downed_it_or_shut_it_out()
    {
        using TemporaryFolder folder = new();
        using TcpListener peer = new(IPAddress.Loopback, 0);
        peer.Start();
        var port = ((IPEndPoint)peer.LocalEndpoint).Port;
        NodeSettings settings = new()
        {
            Name = "a",
            Cluster = ClusterName,
            Host = "127.0.0.1",
            Port = 0,
            SeedNodes = [$"127.0.0.1:{port}"],
            Roles = [NodeRole.Stage],
            ControlPort = 0,
            TokenPath = Path.Combine(folder.Folder, "token"),
            // Longer than the test: that it cannot join is no reason to end.
            JoinPatience = Patience * 2,
        };
        using CancellationTokenSource drain = new();
        TaskCompletionSource orphaned = new();
        var node = NodeProcess.RunAsync(settings, new NoRuns(), TimeProvider.System, TextWriter.Null, orphaned.Task, drain.Token);
        try
        {
            var quarantining = QuarantineAsync(peer, port);
            Assert.Equal(NodeEnd.Quarantined, await node.WaitAsync(Patience));
            Assert.False(quarantining.IsFaulted, $"{quarantining.Exception}");
        }
        finally
        {
            orphaned.TrySetResult();
            peer.Stop();
        }

        Assert.False(NodeEnd.Quarantined.IsOrderly);
        Assert.EndsWith("Start it anew; it joins as a new node.", NodeEnd.Quarantined.Sentence, StringComparison.Ordinal);
    }

    /// <summary>Stands for a system that the node knows of: it takes up each connection, and says then that it has quarantined the node.</summary>
    private static async Task QuarantineAsync(TcpListener listener, int port)
    {
        while (true)
        {
            TcpClient client;
            try
            {
                client = await listener.AcceptTcpClientAsync();
            }
            catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
            {
                return;
            }

            await using var node = HostilePeer.Of(client);
            await node.ReadFrameAsync();
            await node.SendAsync(ForgedPdu.Associate("127.0.0.1", port, ClusterName, "tcp"));
            await node.SendAsync(ForgedPdu.Quarantined());
            await node.IsClosedByPeerAsync();
        }
    }

    private sealed class NoRuns : IRunSource, IStageWorkloadFactory
    {
        public IStageWorkloadFactory Workloads => this;

        public ILedRun Open(RunSubmission submission, string leader) => throw new InvalidOperationException("No run can be opened here.");

        public StageWorkload Create(StageProtocol.AssignStage assignment) => throw new InvalidOperationException("Nothing is computed here.");
    }
}
