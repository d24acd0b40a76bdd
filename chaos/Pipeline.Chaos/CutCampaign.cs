using System.Globalization;

namespace Pipeline.Chaos;

/// <summary>What is done to the network between nodes.</summary>
internal enum Cut
{
    /// <summary>A node loses all others, and they it.</summary>
    Split,

    /// <summary>A node is not heard.</summary>
    Mute,

    /// <summary>A node does not hear.</summary>
    Deafen,

    /// <summary>A node comes and goes, each time for less than is borne: nothing may be replaced.</summary>
    Flap,
}

/// <summary>
/// Random cuts of the network under one run, the same ones for the same seed, at the leader as well as at ranks and spares: the others must go on, who was cut off
/// must end, and at the end the run must have the unsplit trainer's bits, each step once. Nodes are started anew for those that ended.
/// </summary>
internal sealed class CutCampaign(TinyTraining tiny, int seed, TextWriter output)
{
    private const int Nodes = 4;
    private const int CutsPerRun = 10;
    private readonly Random _random = new(seed);

    /// <summary>Runs until so many cuts were survived, or one was not.</summary>
    /// <returns>Whether all were survived without divergence.</returns>
    internal async Task<bool> RunAsync(int count)
    {
        if (CutNetwork.Missing is { } missing)
        {
            output.WriteLine(missing);
            return false;
        }

        output.WriteLine($"cuts: {count}, seed {seed}, {Nodes} nodes, 2 stages");
        RunLedger ledger = new(tiny, output);
        for (var (survived, run) = (0, 1); survived < count; run++)
        {
            using var cluster = await CutCluster.StartAsync(tiny, $"cut-{run}", Nodes, "--stages", "2");
            for (var cut = 0; cut < CutsPerRun && survived < count; cut++, survived++) await StrikeAsync(cluster, (Cut)_random.Next(4));
            if (await cluster.StopAsync() != 0 || !await ledger.HoldsAsync($"cut-{run}", cluster.Files)) return false;
        }

        output.WriteLine($"survived {count} cuts");
        return true;
    }

    private async Task StrikeAsync(CutCluster cluster, Cut cut)
    {
        await cluster.CommitsAsync(10);
        var (place, leader, generation, start) = (_random.Next(Nodes), cluster.Leader, cluster.Generation, TimeProvider.System.GetTimestamp());
        switch (cut)
        {
            case Cut.Flap:
                await FlapAsync(cluster, place, generation);
                break;
            case Cut.Split:
                cluster.Network.Split(place);
                await OutliveAsync(cluster, place);
                break;
            case Cut.Mute:
                cluster.Network.Mute(place);
                await OutliveAsync(cluster, place);
                break;
            default:
                cluster.Network.Deafen(place);
                await OutliveAsync(cluster, place);
                break;
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  step {cluster.Step,6}: {cut} of node {place + 1}{(place == leader ? ", which led" : "")}; generation {generation} -> {cluster.Generation}; {TimeProvider.System.GetElapsedTime(start).TotalSeconds:F1} s"));
    }

    private static async Task FlapAsync(CutCluster cluster, int place, int generation)
    {
        for (var time = 0; time < 3; time++)
        {
            cluster.Network.Split(place);
            await Task.Delay(TimeSpan.FromSeconds(1));
            cluster.Network.Heal(place);
            await cluster.CommitsAsync();
        }

        if (cluster.Generation != generation) throw new InvalidOperationException($"A second's cut raised the generation from {generation} to {cluster.Generation}.\n{cluster.Said}");
    }

    /// <summary>Whoever was cut off ends, whether before it is healed or by what it hears then.</summary>
    private static async Task OutliveAsync(CutCluster cluster, int place)
    {
        await cluster.UntilAsync(() => cluster.Leader != place && !cluster.RankPlaces.Contains(place), "go on without the node that was cut off");
        await cluster.CommitsAsync();
        await Task.Delay(TimeSpan.FromSeconds(8));
        cluster.Network.Heal(place);
        await cluster.UntilAsync(() => cluster.Nodes[place].HasEnded, "shut the node out that was cut off");
        await cluster.CommitsAsync();
        await cluster.RestartAsync(place);
    }
}
