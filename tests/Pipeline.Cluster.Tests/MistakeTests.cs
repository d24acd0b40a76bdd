using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Row P1 of the fault matrix with real processes: what an operator may get wrong between nodes is refused in a sentence that says what differs and what to do.</summary>
[SupportedOSPlatform("linux")]
[Collection(BusyCollection.Name)]
public sealed class MistakeTests(TinyTraining tiny)
{
    [Fact]
    public async Task A_node_that_founds_a_second_cluster_by_a_wrong_list_of_seed_nodes_ends_with_2_and_names_both_lists()
    {
        HandmadeNodes nodes = new(tiny, "apart");
        var ports = LoopbackPorts.Free(3);
        string[] seeds = [.. ports.Select(port => $"127.0.0.1:{port}")];
        using var right = nodes.Start("right", ports[0], 0, seeds[..2]);
        await HandmadeNodes.UpAsync(right);
        // Where it should name the first node nobody listens.
        using var wrong = nodes.Start("wrong", ports[1], 0, seeds[1..]);
        Assert.True(await wrong.EndAsync(240) == 2, wrong.Output);
        Assert.Contains("is up", wrong.Output, StringComparison.Ordinal);
        Assert.Contains("Node wrong belongs to a cluster of its own", wrong.Output, StringComparison.Ordinal);
        Assert.Contains(
            $"cluster.seed-nodes is {seeds[1]}, {seeds[2]} here and {seeds[0]}, {seeds[1]} there. Give every node the same list in the same order",
            wrong.Output, StringComparison.Ordinal);
        Assert.False(right.HasEnded, right.Output);
    }

    [Fact]
    public async Task A_run_that_is_submitted_to_nodes_of_two_clusters_is_refused_before_either_has_it()
    {
        HandmadeNodes nodes = new(tiny, "doubled");
        var ports = LoopbackPorts.Free(3);
        // Neither names a node of the other, so that only whoever names both can see that there are two.
        string[] seeds = [$"127.0.0.1:{ports[0]}", $"127.0.0.2:{ports[1]}"];
        using var left = nodes.Start("left", ports[0], ports[2], seeds[..1]);
        using var right = nodes.Start("right", ports[1], ports[2], seeds[1..], more: ["cluster.host=127.0.0.2"]);
        await HandmadeNodes.UpAsync(left);
        await HandmadeNodes.UpAsync(right);
        var (code, output) = await ProgramRun.ToEndAsync(tiny.Arguments("doubled", TinyTraining.Steps, ["--stages", "2", "--cluster", .. nodes.Settings(ports[2], seeds)]));
        Assert.True(code == 2, output + left.Output + right.Output);
        Assert.Contains($"Two clusters answer: at 127.0.0.1:{ports[2]} that of left, and at 127.0.0.2:{ports[2]} that of right. They were founded apart. Give every node the same list", output, StringComparison.Ordinal);
        Assert.False(File.Exists(new RunFiles(tiny.In("doubled")).Journal));
    }

    [Fact]
    public async Task A_node_that_finds_other_text_under_the_same_path_has_the_run_refused_before_its_first_step()
    {
        Directory.CreateDirectory(tiny.In("elsewhere"));
        await File.WriteAllTextAsync(tiny.In("elsewhere/corpus.txt"), string.Concat(Enumerable.Repeat("another text than that of the others\n\n", 400)));
        HandmadeNodes nodes = new(tiny, "mistaken");
        var ports = LoopbackPorts.Free(3);
        string[] seeds = [$"127.0.0.1:{ports[0]}"];
        string[] here = ["env", "-C", tiny.In(".")], elsewhere = ["env", "-C", tiny.In("elsewhere")];
        using var leader = nodes.Start("leader", ports[0], ports[1], seeds, here);
        await HandmadeNodes.UpAsync(leader);
        using var other = nodes.Start("other", ports[2], 0, seeds, elsewhere);
        await HandmadeNodes.UpAsync(other);
        // One path, under which each process finds what lies in the folder that it was started in.
        var arguments = tiny.Arguments("mixed-up", TinyTraining.Steps, ["--stages", "2", "--cluster", .. nodes.Settings(ports[1], seeds)])
            .Select(word => word == tiny.In("corpus.txt") ? "/proc/self/cwd/corpus.txt" : word);
        var (code, output) = await ProgramRun.ToEndAtAsync(here, arguments);
        Assert.True(code == 2, output + leader.Output + other.Output);
        Assert.Matches(@"The corpus .+ on \S+ is another one \(content \S+\) than where the run was submitted \(\S+\)\. Give every node the same files under data\.path\.", output);
        var metrics = new RunFiles(tiny.In("mixed-up")).Metrics;
        Assert.True(!File.Exists(metrics) || new FileInfo(metrics).Length == 0);
    }
}
