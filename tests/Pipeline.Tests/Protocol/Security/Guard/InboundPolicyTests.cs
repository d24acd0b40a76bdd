using CsCheck;
using Pipeline.Protocol.Security;
using Pipeline.Protocol.Security.Guard;
using Pipeline.Protocol.Wire;
using Xunit;

namespace Pipeline.Tests.Protocol.Security.Guard;

/// <summary>Rows A2 and A3 of the fault matrix, judged on bytes.</summary>
public sealed class InboundPolicyTests
{
    private static readonly InboundPolicy Policy = new(["/user/coordinator"]);
    private static readonly PeerIdentity Stage = new("node-1", PeerRoles.Stage, "01", ["node-1", "10.0.0.1"], DateTimeOffset.MaxValue);
    private static readonly PeerIdentity Coordinator = Stage with { Roles = PeerRoles.Coordinator };
    private static readonly PeerIdentity Operator = Stage with { Roles = PeerRoles.Operator };

    [Fact]
    public void Every_message_of_the_protocol_has_a_role_that_may_send_it()
    {
        Assert.All(WireManifests.Types, type => Assert.NotEqual(PeerRoles.None, PeerAuthorization.SendersOf(type)));
        Assert.Equal(PeerRoles.None, PeerAuthorization.SendersOf(typeof(string)));
    }

    [Fact]
    public void A_message_passes_from_exactly_the_roles_of_its_row()
    {
        foreach (var type in WireManifests.Types)
        {
            foreach (var role in new[] { PeerRoles.Coordinator, PeerRoles.Stage, PeerRoles.Operator })
            {
                var fault = FaultOf(ForgedPdu.Payload(WireSerializer.FixedIdentifier, WireManifests.Of(type)!.Manifest, [1, 2, 3]), Stage with { Roles = role });
                Assert.Equal(PeerAuthorization.SendersOf(type).HasFlag(role), fault is null);
            }
        }
    }

    [Fact]
    public void A_stage_may_not_send_what_a_coordinator_commands() =>
        Assert.Contains("only a coordinator may send", FaultOf(ForgedPdu.Payload(WireSerializer.FixedIdentifier, "gs", []), Stage), StringComparison.Ordinal);

    [Theory]
    [InlineData(1, "")]
    [InlineData(1, "System.IO.FileInfo, System.Private.CoreLib")]
    [InlineData(2, "Akka.Remote.Serialization.Proto.Msg.Payload, Akka.Remote")]
    [InlineData(3, "")]
    [InlineData(4, "")]
    [InlineData(9, "A")]
    [InlineData(15, "A")]
    [InlineData(16, "CF")]
    [InlineData(16, "PP")]
    [InlineData(16, "K")]
    [InlineData(16, "RS")]
    [InlineData(16, "RORRP")]
    [InlineData(16, "STF")]
    [InlineData(17, "S")]
    [InlineData(22, "Akka.Dispatch.SysMsg.Terminate, Akka")]
    [InlineData(22, "Akka.Dispatch.SysMsg.Failed, Akka")]
    [InlineData(22, "Akka.Dispatch.SysMsg.Suspend, Akka")]
    [InlineData(22, "Anything.At.All, Evil")]
    [InlineData(36, "a")]
    [InlineData(4711, "")]
    [InlineData(4711, "zz")]
    [InlineData(5, "Akka.Cluster.Routing.ClusterRouterPool, Akka.Cluster")]
    [InlineData(int.MaxValue, "")]
    public void What_is_not_in_the_closed_list_is_refused_whoever_sends_it(int serializer, string manifest)
    {
        var all = Stage with { Roles = PeerRoles.All };
        Assert.NotNull(FaultOf(ForgedPdu.Payload(serializer, manifest, [1]), all));
        // The same within what may be carried: a selection of a trusted path, a question.
        Assert.NotNull(FaultOf(ForgedPdu.Selection(ForgedPdu.Payload(serializer, manifest, [1]), 2, "user", "coordinator"), all));
        if (serializer != 17) Assert.NotNull(FaultOf(ForgedPdu.Correlated("ID", ForgedPdu.Payload(serializer, manifest, [1])), all));
    }

    [Theory]
    [InlineData(5, "HB", PeerRoles.Stage, true)]
    [InlineData(5, "HB", PeerRoles.Operator, false)]
    [InlineData(5, "Akka.Cluster.InternalClusterAction+Join, Akka.Cluster", PeerRoles.Stage, true)]
    [InlineData(5, "Akka.Cluster.InternalClusterAction+Join, Akka.Cluster", PeerRoles.Operator, false)]
    [InlineData(5, "Akka.Cluster.ClusterUserAction+Down, Akka.Cluster", PeerRoles.Stage, false)]
    [InlineData(5, "Akka.Cluster.ClusterUserAction+Down, Akka.Cluster", PeerRoles.Coordinator, true)]
    [InlineData(14, "A", PeerRoles.Coordinator, true)]
    [InlineData(14, "A", PeerRoles.Stage, false)]
    [InlineData(16, "RWHB", PeerRoles.Stage, true)]
    [InlineData(22, "Akka.Dispatch.SysMsg.Watch, Akka", PeerRoles.Stage, true)]
    [InlineData(22, "Akka.Dispatch.SysMsg.Watch, Akka", PeerRoles.Operator, false)]
    public void Akkas_own_conversations_are_for_nodes(int serializer, string manifest, PeerRoles roles, bool passes) =>
        Assert.Equal(passes, FaultOf(ForgedPdu.Payload(serializer, manifest, []), Stage with { Roles = roles }) is null);

    [Theory]
    [InlineData(2, true, "user", "coordinator")]
    [InlineData(2, true, "system", "cluster", "core", "daemon")]
    [InlineData(2, false, "user")]
    [InlineData(2, false, "user", "stage-0")]
    [InlineData(2, false, "system", "logger")]
    [InlineData(2, false, "user", "coordinator", "child")]
    [InlineData(3, false, "user", "*")]
    [InlineData(3, false, "user", "coordinator")]
    [InlineData(1, false, "user", "coordinator")]
    public void Only_trusted_paths_can_be_selected_and_only_by_name(int type, bool passes, params string[] path)
    {
        var fault = FaultOf(ForgedPdu.Selection(ForgedPdu.Payload(5, "HB", []), type, path), Coordinator);
        Assert.Equal(passes, fault is null);
    }

    [Theory]
    [InlineData("node-1", true)]
    [InlineData("10.0.0.1", true)]
    [InlineData("node-2", false)]
    [InlineData("", false)]
    [InlineData("node-1\nERROR", false)]
    public void A_peer_speaks_for_the_hosts_of_its_certificate_only(string host, bool passes)
    {
        var fault = Policy.FaultOf(ForgedPdu.Associate(host), Stage);
        Assert.Equal(passes, fault is null);
        Assert.DoesNotContain('\n', fault ?? "");
    }

    [Fact]
    public void A_field_given_twice_is_refused_since_the_reader_behind_would_merge_them()
    {
        var good = ForgedPdu.Payload(5, "HB", []);
        var bad = ForgedPdu.Payload(1, "", [1]);
        var twice = ForgedPdu.Message(output => ForgedPdu.Nested(output, 1, ForgedPdu.Message(container => ForgedPdu.Nested(container, 2, ForgedPdu.Message(envelope =>
        {
            ForgedPdu.Nested(envelope, 2, good);
            ForgedPdu.Nested(envelope, 2, bad);
        })))));
        Assert.Contains("twice", Policy.FaultOf(twice, Coordinator), StringComparison.Ordinal);
    }

    [Fact]
    public void Any_bytes_are_judged_without_an_exception() => Gen.Select(Gen.Byte.Array[0, 60], Gen.Int[0, 1_000_000], Gen.Byte).Sample((bytes, place, flip) =>
    {
        Policy.FaultOf(bytes, Operator);
        var valid = ForgedPdu.Carrying("akka://pipeline/user/x", ForgedPdu.Selection(ForgedPdu.Payload(5, "HB", bytes), 2, "user", "coordinator"));
        valid[place % valid.Length] = flip;
        Policy.FaultOf(valid, Operator);
        Policy.FaultOf(valid.AsSpan(0, place % valid.Length), Operator);
    }, iter: 20_000);

    private static string? FaultOf(byte[] payload, PeerIdentity peer) => Policy.FaultOf(ForgedPdu.Carrying("akka://pipeline/user/target", payload), peer);
}
