using Pipeline.Nodes;
using Pipeline.Protocol;
using Xunit;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Tests.Nodes;

/// <summary>Rows F14 and P1 of the fault matrix: who differs in what may not differ stays outside, and is told in what.</summary>
public sealed class NodeAdmissionTests
{
    private static readonly PlatformFingerprint Platform = ThisPlatform.Fingerprint("TorchSharp 1");
    private readonly NodeDescribed _leader = Node("leader", [NodeInfo.CoordinatorRole]);

    [Fact]
    public void Nodes_that_are_alike_take_part()
    {
        NodeAdmission admission = new(_leader);
        Assert.Null(admission.RefusalOf(_leader, []));
        Assert.Null(admission.RefusalOf(Node("b"), [_leader]));
        Assert.Null(admission.RefusalOf(Node("b"), [_leader, Node("b")]));
    }

    [Fact]
    public void Another_build_or_wire_format_is_refused_whatever_the_role()
    {
        NodeAdmission admission = new(_leader);
        var refusal = admission.RefusalOf(Node("b", [NodeInfo.CoordinatorRole]) with { Platform = Platform with { Wire = 1 } }, [_leader]);
        Assert.Contains($"Node b (process 7 on machine) differs from the leader in the wire format: version 1 there, version {PlatformFingerprint.CurrentWire} at the leader.", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Another_processor_is_refused_only_where_stages_would_lie_on_it()
    {
        var other = Platform with { Processor = "Arm64" };
        NodeAdmission admission = new(_leader with { Platform = other });
        // The leader holds no stage, so that its own processor is no measure.
        Assert.Null(admission.RefusalOf(Node("b"), []));
        Assert.Null(admission.RefusalOf(Node("c", [NodeInfo.CoordinatorRole]) with { Platform = other }, []));
        Assert.Contains($"differs from node b in the processor: Arm64 there, {Platform.Processor} at node b.", admission.RefusalOf(Node("d") with { Platform = other }, []), StringComparison.Ordinal);
    }

    [Fact]
    public void Each_shared_setting_that_differs_is_named_with_both_values()
    {
        NodeAdmission admission = new(_leader);
        var refusal = admission.RefusalOf(Node("b") with { Shared = [new("link.window", "8"), new("link.silence", "5")] }, []);
        Assert.Contains("in link.window: 8 there, 64 at the leader. Give every node the same value.", refusal, StringComparison.Ordinal);
        Assert.Contains("in link.silence: 5 there, nothing at the leader.", refusal, StringComparison.Ordinal);
        // Who was refused is no measure for the others.
        Assert.Null(admission.RefusalOf(Node("c"), []));
    }

    [Fact]
    public void A_name_that_another_living_node_bears_is_refused()
    {
        NodeAdmission admission = new(_leader);
        var twin = Node("b") with { ProcessId = 8 };
        twin = twin with { Info = twin.Info with { Id = new NodeId("elsewhere", 2) } };
        Assert.Contains("Another node of the cluster is called b: process 7 on machine.", admission.RefusalOf(twin, [_leader, Node("b")]), StringComparison.Ordinal);
        Assert.Null(admission.RefusalOf(twin, [_leader]));
    }

    private static NodeDescribed Node(string name, IReadOnlyList<string>? roles = null) => new(
        name, 7, "127.0.0.1:1", new NodeInfo(new NodeId(name, 1), "", roles ?? [NodeInfo.StageRole], "cpu", 1, 0, 0, "machine", ""), null, Platform, [new("link.window", "64")]);
}
