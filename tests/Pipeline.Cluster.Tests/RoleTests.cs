using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Nodes of which one may only lead and the others may only hold stages.</summary>
[SupportedOSPlatform("linux")]
[Collection(BusyCollection.Name)]
public sealed class RoleTests(TinyTraining tiny)
{
    [Fact]
    public async Task A_node_that_only_leads_and_nodes_that_only_hold_stages_train_the_bits_of_the_unsplit_trainer()
    {
        HandmadeNodes nodes = new(tiny, "parted");
        var ports = LoopbackPorts.Free(4);
        var seed = $"127.0.0.1:{ports[0]}";
        using var leader = nodes.Start("leader", ports[0], ports[1], [seed], more: ["cluster.roles=[coordinator]"]);
        await HandmadeNodes.UpAsync(leader);
        using var first = nodes.Start("first", ports[2], 0, [seed], more: ["cluster.roles=[stage]"]);
        using var second = nodes.Start("second", ports[3], 0, [seed], more: ["cluster.roles=[stage]"]);
        await HandmadeNodes.UpAsync(first);
        await HandmadeNodes.UpAsync(second);
        var (code, output) = await ProgramRun.ToEndAsync(tiny.Arguments("parted", TinyTraining.Steps, ["--stages", "2", "--cluster", .. nodes.Settings(ports[1], [seed])]));
        Assert.True(code == 0, output + leader.Output);
        Assert.Equal((await tiny.ReferenceAsync()).Lines, RunBits.Of(tiny.In("parted")).Lines);
        // Both say where: of two that may hold stages each has one, and the leader none.
        var placed = EventLog.Read(new RunFiles(tiny.In("parted")).Events).First(line => line.Name == "placed").Fields["ranks"];
        Assert.DoesNotContain($":{ports[0]}", placed, StringComparison.Ordinal);
        Assert.Contains($":{ports[2]}", placed, StringComparison.Ordinal);
        Assert.Contains($":{ports[3]}", placed, StringComparison.Ordinal);
    }
}
