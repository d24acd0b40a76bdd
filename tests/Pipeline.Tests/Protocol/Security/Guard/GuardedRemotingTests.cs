using System.Text;
using Akka.Actor;
using Akka.Cluster;
using Akka.Configuration;
using Pipeline.Protocol;
using Pipeline.Protocol.Security;
using Pipeline.Protocol.Wire;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Protocol.Security.Guard;

/// <summary>Rows A1 to A3 and F11 of the fault matrix against real remoting on loopback: nothing gets in, and whoever may goes on.</summary>
public sealed class GuardedRemotingTests : IDisposable
{
    private static readonly object Allowed = new StageProtocol.StageStopped(new Generation(3), 1);
    private readonly TestAuthority _authority = new();

    public void Dispose() => _authority.Dispose();

    [Fact]
    public async Task Forged_objects_are_refused_before_anything_is_built_of_them()
    {
        await using GuardedNode node = new(_authority.Credentials(PeerRoles.Stage));
        using var stage = _authority.Credentials(PeerRoles.Stage);
        await using var peer = await HostilePeer.ConnectAsync(node.Address.Port!.Value, stage);
        await peer.AssociateAsync();
        await SendForgeries(peer, node);
        await peer.SendAsync(ForgedPdu.Carrying(node.PathOf("/user/target"), Wire(node, Allowed)));

        Assert.Equal(Allowed, node.Receive());
        Assert.True(node.HasReceivedNothing);
        Assert.False(GadgetWitness.HasRun);
        Assert.False(node.Target.Equals(ActorRefs.Nobody));
        Assert.Equal(ForgeryCount, node.Remoting.RefusalCount);
        Assert.Single(Refusals(node));
    }

    [Fact]
    public async Task Without_tls_the_same_holds_on_loopback()
    {
        await using GuardedNode node = new();
        await using var peer = await HostilePeer.ConnectAsync(node.Address.Port!.Value);
        await peer.AssociateAsync();
        await SendForgeries(peer, node);
        await peer.SendAsync(ForgedPdu.Carrying(node.PathOf("/user/target"), Wire(node, Allowed)));
        Assert.Equal(Allowed, node.Receive());
        Assert.True(node.HasReceivedNothing);
        Assert.False(GadgetWitness.HasRun);
    }

    [Fact]
    public async Task The_same_bytes_do_harm_where_nothing_guards()
    {
        var system = ActorSystem.Create("pipeline", ConfigurationFactory.ParseString(
            "akka { loglevel = OFF, stdout-loglevel = OFF, actor.provider = remote, remote.dot-netty.tcp { hostname = 127.0.0.1, port = 0 } }"));
        try
        {
            var address = ((ExtendedActorSystem)system).Provider.DefaultAddress;
            var victim = system.ActorOf(Props.Empty, "victim");
            var death = victim.WatchAsync();
            await using var peer = await HostilePeer.ConnectAsync(address.Port!.Value);
            await peer.AssociateAsync();
            await peer.SendAsync(ForgedPdu.Carrying(address + "/user/victim", Gadget(typeof(UnguardedGadget))));
            await peer.SendAsync(ForgedPdu.Carrying(address + "/user/victim", ForgedPdu.Payload(16, "PP", [])));
            await death.WaitAsync(TimeSpan.FromMinutes(5));
            Assert.True(UnguardedWitness.HasRun);
        }
        finally
        {
            await system.Terminate();
        }
    }

    [Fact]
    public async Task A_stages_certificate_cannot_command_and_a_coordinators_can()
    {
        var command = new StageProtocol.StopStage(new Generation(1));
        await using GuardedNode node = new(_authority.Credentials(PeerRoles.Stage));
        using (var stage = _authority.Credentials(PeerRoles.Stage))
        {
            await using var peer = await HostilePeer.ConnectAsync(node.Address.Port!.Value, stage);
            await peer.AssociateAsync();
            await peer.SendAsync(ForgedPdu.Carrying(node.PathOf("/user/target"), Wire(node, command)));
            await peer.SendAsync(ForgedPdu.Carrying(node.PathOf("/user/target"), Wire(node, Allowed)));
            Assert.Equal(Allowed, node.Receive());
        }

        using var coordinator = _authority.Credentials(PeerRoles.Coordinator);
        await using var leader = await HostilePeer.ConnectAsync(node.Address.Port!.Value, coordinator);
        await leader.AssociateAsync();
        await leader.SendAsync(ForgedPdu.Carrying(node.PathOf("/user/target"), Wire(node, command)));
        Assert.Equal(command, node.Receive());
        Assert.Contains("only a coordinator may send", Assert.Single(Refusals(node)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_certificate_that_is_used_from_another_host_is_refused()
    {
        await using GuardedNode node = new(_authority.Credentials(PeerRoles.Stage));
        using var stolen = _authority.Credentials(_authority.Issue(TestAuthority.Order(PeerRoles.Coordinator, hosts: "10.0.0.7")));
        await using var peer = await HostilePeer.ConnectAsync(node.Address.Port!.Value, stolen);
        await peer.SendAsync(ForgedPdu.Associate("127.0.0.1"));
        // What follows a refused claim meets no association.
        await peer.SendAsync(ForgedPdu.Carrying(node.PathOf("/user/target"), Wire(node, new StageProtocol.StopStage(new Generation(1)))));
        Assert.True(await peer.IsClosedByPeerAsync());
        Assert.True(node.HasReceivedNothing);
        Assert.Contains("claims to be 127.0.0.1", Assert.Single(Refusals(node)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("plain")]
    [InlineData("http")]
    [InlineData("foreign")]
    [InlineData("none")]
    public async Task Strangers_are_refused_and_named_once(string kind)
    {
        await using GuardedNode node = new(_authority.Credentials(PeerRoles.Stage));
        using TestAuthority other = new();
        for (var attempt = 0; attempt < 3; attempt++)
        {
            using var credentials = kind == "foreign" ? other.Credentials() : null;
            await RefusedAsync(node, kind, credentials);
        }

        using var good = _authority.Credentials(PeerRoles.Stage);
        await using var peer = await HostilePeer.ConnectAsync(node.Address.Port!.Value, good);
        await peer.AssociateAsync();
        await peer.SendAsync(ForgedPdu.Carrying(node.PathOf("/user/target"), Wire(node, Allowed)));
        Assert.Equal(Allowed, node.Receive());
        // One line in all, whatever the transport itself would have said of each attempt.
        Assert.Contains("Refused from 127.0.0.1", Assert.Single(Refusals(node)), StringComparison.Ordinal);
        Assert.True(node.Remoting.RefusalCount >= 3, $"{node.Remoting.RefusalCount}");
    }

    [Fact]
    public async Task Revoking_a_certificate_ends_a_connection_that_is_open()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder.In("revoked"), "");
        MovableMonotonicTime time = new();
        await using GuardedNode node = new(_authority.Credentials(_authority.Issue(PeerRoles.Stage), revoked: new(folder.In("revoked"))), time: time);
        using var stage = _authority.Credentials(PeerRoles.Stage);
        await using var peer = await HostilePeer.ConnectAsync(node.Address.Port!.Value, stage);
        await peer.AssociateAsync();
        await peer.SendAsync(ForgedPdu.Carrying(node.PathOf("/user/target"), Wire(node, Allowed)));
        Assert.Equal(Allowed, node.Receive());
        File.WriteAllText(folder.In("revoked"), stage.Own.SerialNumber);
        time.Advance(TimeSpan.FromSeconds(5));
        await peer.SendAsync(ForgedPdu.Carrying(node.PathOf("/user/target"), Wire(node, Allowed)));
        Assert.True(await peer.IsClosedByPeerAsync());
        Assert.True(node.HasReceivedNothing);
        Assert.Contains("was revoked", Assert.Single(Refusals(node)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nodes_of_a_cluster_find_each_other_watch_each_other_and_are_refused_nothing()
    {
        const string cluster = "akka { actor.provider = cluster, cluster { gossip-interval = 100ms, leader-actions-interval = 100ms, periodic-tasks-initial-delay = 50ms, allow-weakly-up-members = off } }";
        await using GuardedNode first = new(_authority.Credentials(PeerRoles.Coordinator | PeerRoles.Stage), PeerRoles.Coordinator, cluster, trusted: "/user/target");
        await using GuardedNode second = new(_authority.Credentials(PeerRoles.Stage), PeerRoles.Stage, cluster, trusted: "/user/target");
        using CancellationTokenSource limit = new(TimeSpan.FromMinutes(2));
        await Cluster.Get(first.System).JoinAsync(first.Address, limit.Token);
        await Cluster.Get(second.System).JoinSeedNodesAsync([first.Address], limit.Token);

        var remote = await second.System.ActorSelection(first.PathOf("/user/target")).ResolveOne(TimeSpan.FromMinutes(2));
        remote.Tell(Allowed);
        Assert.Equal(Allowed, first.Receive());
        var death = remote.WatchAsync();
        await first.Target.GracefulStop(TimeSpan.FromMinutes(2));
        await death.WaitAsync(limit.Token);
        Assert.Equal((0L, 0L), (first.Remoting.RefusalCount, second.Remoting.RefusalCount));
        Assert.Equal("akka.ssl.tcp", first.Address.Protocol);
    }

    private const int ForgeryCount = 12;

    private static async Task SendForgeries(HostilePeer peer, GuardedNode node)
    {
        var target = node.PathOf("/user/target");
        byte[][] frames =
        [
            ForgedPdu.Carrying(target, Gadget(typeof(GuardedGadget))),
            ForgedPdu.Carrying(target, ForgedPdu.Payload(22, typeof(GuardedGadget).AssemblyQualifiedName!, [])),
            ForgedPdu.Carrying(target, ForgedPdu.Payload(17, typeof(GuardedGadget).AssemblyQualifiedName!, [])),
            ForgedPdu.Carrying(target, ForgedPdu.Correlated("ID", Gadget(typeof(GuardedGadget)))),
            ForgedPdu.Carrying(node.PathOf("/remote"), ForgedPdu.Payload(3, "", [1, 2, 3])),
            ForgedPdu.Carrying(target, ForgedPdu.Payload(16, "CF", Encoding.UTF8.GetBytes("akka.loglevel = DEBUG"))),
            ForgedPdu.Carrying(target, ForgedPdu.Payload(16, "PP", [])),
            ForgedPdu.Carrying(target, ForgedPdu.Payload(16, "K", [])),
            ForgedPdu.Carrying(target, ForgedPdu.Payload(22, "Akka.Dispatch.SysMsg.Terminate, Akka", [])),
            ForgedPdu.Carrying(node.PathOf("/"), ForgedPdu.Selection(Wire(node, Allowed), 2, "user", "target")),
            ForgedPdu.Carrying(node.PathOf("/"), ForgedPdu.Selection(ForgedPdu.Payload(16, "PP", []), 3, "user", "*")),
            ForgedPdu.Carrying(target, ForgedPdu.Payload(4711, "nothing", [1])),
        ];
        Assert.Equal(ForgeryCount, frames.Length);
        foreach (var frame in frames) await peer.SendAsync(frame);
    }

    private static async Task RefusedAsync(GuardedNode node, string kind, PeerCredentials? credentials)
    {
        var port = node.Address.Port!.Value;
        if (credentials is not null)
        {
            // The client learns of its refusal at the latest when it reads.
            try
            {
                await using var foreign = await HostilePeer.ConnectAsync(port, credentials);
                Assert.True(await foreign.IsClosedByPeerAsync());
            }
            catch (System.Security.Authentication.AuthenticationException)
            {
                return;
            }

            return;
        }

        await using var peer = await HostilePeer.ConnectAsync(port);
        if (kind == "plain") await peer.SendAsync(ForgedPdu.Associate("127.0.0.1"));
        if (kind == "http") await peer.SendRawAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray());
        if (kind == "none") return;
        Assert.True(await peer.IsClosedByPeerAsync());
    }

    private static byte[] Wire(GuardedNode node, object message)
    {
        var serializer = (WireSerializer)node.System.Serialization.FindSerializerForType(message.GetType());
        return ForgedPdu.Payload(serializer.Identifier, serializer.Manifest(message), serializer.ToBinary(message));
    }

    private static byte[] Gadget(Type type) => ForgedPdu.Payload(1, "", Encoding.UTF8.GetBytes($$"""{"$id":"1","$type":"{{type.AssemblyQualifiedName}}"}"""));

    /// <summary>Every line of the node's log. Loggers are actors: the first line may still be under way.</summary>
    private static IReadOnlyList<string> Refusals(GuardedNode node)
    {
        SpinWait.SpinUntil(() => !GatheringLogger.Of(node.System).IsEmpty, TimeSpan.FromMinutes(2));
        return [.. GatheringLogger.Of(node.System).Select(line => line.Message.ToString()!)];
    }
}

/// <summary>A clock whose monotonic part a test moves.</summary>
internal sealed class MovableMonotonicTime : TimeProvider
{
    private long _ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _ticks);

    public void Advance(TimeSpan by) => Interlocked.Add(ref _ticks, by.Ticks);
}

/// <summary>Whether the static constructor of <see cref="GuardedGadget"/> ran: it must not, whatever arrives.</summary>
internal static class GadgetWitness
{
    public static volatile bool HasRun;
}

/// <summary>Stands for any type that does harm while it is built.</summary>
public sealed class GuardedGadget
{
    static GuardedGadget() => GadgetWitness.HasRun = true;

    /// <summary>Named by its type only.</summary>
    public int Value { get; set; }
}

/// <summary>The same for the system without a guard.</summary>
internal static class UnguardedWitness
{
    public static volatile bool HasRun;
}

/// <summary>The same for the system without a guard.</summary>
public sealed class UnguardedGadget
{
    static UnguardedGadget() => UnguardedWitness.HasRun = true;

    /// <summary>Named by its type only.</summary>
    public int Value { get; set; }
}
