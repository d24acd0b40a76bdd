using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>
/// Rows F3, F4 and F22 of the fault matrix with real processes, each in a network namespace with an address of its own: networks that are cut in two, in one
/// direction, again and again. One side goes on, the other ends, and the run has the bits of the unsplit trainer, each step once.
/// </summary>
[SupportedOSPlatform("linux")]
[Collection(BusyCollection.Name)]
public sealed class PartitionTests(TinyTraining tiny)
{
    [SkippableFact]
    public async Task A_link_that_flaps_a_node_that_nobody_hears_and_a_leader_on_the_smaller_side_each_leave_one_side_that_goes_on()
    {
        Skip.If(CutNetwork.Missing is not null, CutNetwork.Missing);
        using var cluster = await CutCluster.StartAsync(tiny, "cut", 4, "--stages", "2");
        await FlapAsync(cluster, cluster.RankPlaces[0]);
        await LoseAsync(cluster, cluster.RankPlaces[0], cluster.Network.Mute);
        await LoseAsync(cluster, cluster.Leader, place => cluster.Network.Split(place));
        await EndsWellAsync(cluster);
    }

    [SkippableFact]
    public async Task Of_two_nodes_that_lose_each_other_the_leaders_goes_on()
    {
        Skip.IfNot(Environment.GetEnvironmentVariable("PIPELINE_TESTS") == "full", "It is simulated; with real processes it runs in the full set only: ./pipeline.sh test --full");
        Skip.If(CutNetwork.Missing is not null, CutNetwork.Missing);
        using var cluster = await CutCluster.StartAsync(tiny, "pair", 2, "--stages", "2");
        var leader = cluster.Leader;
        await LoseAsync(cluster, 1 - leader, place => cluster.Network.Split(place));
        Assert.Equal(leader, cluster.Leader);
        await EndsWellAsync(cluster);
    }

    /// <summary>Cuts that are shorter than what is borne change nothing.</summary>
    private static async Task FlapAsync(CutCluster cluster, int place)
    {
        var generation = cluster.Generation;
        for (var cut = 0; cut < 2; cut++)
        {
            cluster.Network.Split(place);
            await Task.Delay(TimeSpan.FromSeconds(1));
            cluster.Network.Heal(place);
            await cluster.CommitsAsync();
        }

        Assert.Equal(generation, cluster.Generation);
    }

    /// <summary>A node is cut off until the others go on without it, and healed then: it ends, and the others notice nothing of it.</summary>
    private static async Task LoseAsync(CutCluster cluster, int place, Action<int> cut)
    {
        var generation = cluster.Generation;
        cut(place);
        await cluster.UntilAsync(() => cluster.Leader != place && cluster.Generation > generation && !cluster.RankPlaces.Contains(place), "go on without the node that was cut off");
        await cluster.CommitsAsync();
        cluster.Network.Heal(place);
        await cluster.UntilAsync(() => cluster.Nodes[place].HasEnded, "shut the node out that was cut off");
        Assert.True(await cluster.Nodes[place].EndAsync() == 1, cluster.Said);
        await cluster.CommitsAsync();
        Assert.DoesNotContain(place, cluster.RankPlaces);
    }

    private static async Task EndsWellAsync(CutCluster cluster)
    {
        Assert.True(await cluster.StopAsync() == 0, cluster.Said);
        var steps = MetricsReader.Read(cluster.Files.Metrics).OfType<StepMetrics>().Select(line => line.Step).ToArray();
        Assert.Equal(Enumerable.Range(1, steps.Length).Select(step => (long)step), steps);
        var (code, output) = await ProgramRun.ToEndAsync("verify", cluster.Files.Folder, "--from", "0", "--steps", $"{steps.Length}");
        Assert.True(code == 0, output);
    }
}
