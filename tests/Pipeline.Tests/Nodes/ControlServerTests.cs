using System.Net;
using System.Net.Sockets;
using System.Text;
using Pipeline.Nodes;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>The port of commands: answers whoever shows the token, and nobody else.</summary>
public sealed class ControlServerTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    [Fact]
    public async Task Whoever_shows_the_token_is_answered()
    {
        await using var server = Start();
        var reply = await ControlClient.AskAsync(server.Address, new ControlRequest(server.Token, ControlCommand.Stop), Patience);
        Assert.Equal(new ControlReply(true, "stop"), reply);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0000")]
    public async Task Another_token_is_refused_and_nothing_is_carried_out(string token)
    {
        var asked = 0;
        System.Collections.Concurrent.ConcurrentBag<string> refused = [];
        await using var server = ControlServer.Start(new IPEndPoint(IPAddress.Loopback, 0), ControlServer.NewToken(), (_, _) =>
        {
            asked++;
            return Task.FromResult(new ControlReply(true, ""));
        }, refused: (source, reason) => refused.Add($"{source} {reason}"));
        var reply = await ControlClient.AskAsync(server.Address, new ControlRequest(token, ControlCommand.Stop), Patience);
        Assert.False(reply!.Done);
        Assert.StartsWith("The token is not that of this endpoint", reply.Message, StringComparison.Ordinal);
        Assert.Equal(0, asked);
        Assert.Matches(@"^127\.0\.0\.1:\d+ The token is not that of this endpoint", Assert.Single(refused));
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n")]
    [InlineData("{\"token\":null,\"command\":\"stop\"}\n")]
    [InlineData("[1,2,3]\n")]
    [InlineData("\n")]
    public async Task Garbage_is_answered_with_a_sentence(string garbage)
    {
        await using var server = Start();
        Assert.True(ControlClient.TrySplit(server.Address, out var host, out var port));
        using TcpClient client = new(host, port);
        await client.GetStream().WriteAsync(Encoding.UTF8.GetBytes(garbage));
        using StreamReader reader = new(client.GetStream());
        Assert.Contains("Expected one line of JSON", await reader.ReadLineAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_at_an_address_is_no_answer()
    {
        var port = LoopbackPorts.Free(1)[0];
        Assert.Null(await ControlClient.AskAsync($"127.0.0.1:{port}", new ControlRequest("", ControlCommand.Status), Patience));
    }

    [Theory]
    [InlineData("host:4053", true)]
    [InlineData("10.0.0.1:1", true)]
    [InlineData("[::1]:4053", true)]
    [InlineData("host", false)]
    [InlineData(":4053", false)]
    [InlineData("host:0", false)]
    [InlineData("host:65536", false)]
    [InlineData("host:x", false)]
    public void An_address_is_a_host_and_a_port(string text, bool isOne) => Assert.Equal(isOne, ControlClient.TrySplit(text, out _, out _));

    private static ControlServer Start() =>
        ControlServer.Start(new IPEndPoint(IPAddress.Loopback, 0), ControlServer.NewToken(), (request, _) => Task.FromResult(new ControlReply(true, request.Command)));
}
