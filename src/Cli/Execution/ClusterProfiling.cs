using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>What came of measuring a node.</summary>
/// <param name="Node">The node.</param>
/// <param name="RankCount">Ranks that are expected on its machine.</param>
/// <param name="Profile">What was measured; null where nothing was.</param>
/// <param name="Fault">Why nothing was; else empty.</param>
internal sealed record ProfiledNodeResult(NodeStatus Node, int RankCount, ProfileFile? Profile, string Fault);

/// <summary><c>profile --cluster</c>: has every node that may hold stages measure the units, and keeps what each has measured.</summary>
/// <param name="context">Where to say what goes on.</param>
/// <param name="bound">The settings, with a precision that is settled.</param>
internal sealed class ClusterProfiling(CommandContext context, BoundConfiguration bound)
{
    /// <summary>Measures. Nodes on one machine measure one after the other, machines side by side.</summary>
    /// <param name="sizes">Sizes of micro-batch.</param>
    /// <param name="budget">Time for each size.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="RunException">The cluster refuses, or nobody answers.</exception>
    public async Task<IReadOnlyList<ProfiledNodeResult>> RunAsync(IReadOnlyList<int> sizes, TimeSpan budget, CancellationToken cancellation)
    {
        var settings = bound.Settings;
        using ClusterNodes cluster = new(settings.Cluster, context.Time);
        var targets = Targets(settings, await cluster.AskAsync().ConfigureAwait(false));
        var names = targets.ToDictionary(target => target.Node.Address, target => target.Node.Name);
        context.Error.WriteLine($"Measuring {targets.Count} nodes, one after the other on each machine: {string.Join(", ", targets.Select(target => target.Node.Name))} …");
        ProfileRequest request = new(
            Guid.NewGuid().ToString("N"), ConfigurationPrinter.Hocon(bound.Configuration, withOrigins: false), sizes, budget.TotalSeconds, [.. targets.Select(target => new ProfileTarget(target.Node.Address, target.RankCount))]);
        var standing = await cluster.MeasureAsync(request, Tell, cancellation).ConfigureAwait(false);
        List<ProfiledNodeResult> results = [];
        foreach (var (node, rankCount) in targets)
        {
            var status = standing.FirstOrDefault(known => known.Address == node.Address);
            results.Add(status is { Phase: "measured" } ? Kept(node, rankCount, await cluster.FetchAsync(request.Id, node.Address).ConfigureAwait(false)) : new(node, rankCount, null, status?.Sentence ?? "The cluster says nothing of it."));
        }

        return results;

        void Tell(ProfiledStatus status) => context.Error.WriteLine($"  {names.GetValueOrDefault(status.Address, status.Address)}: {status.Phase}{(status.Sentence.Length > 0 ? $". {status.Sentence}" : "")}");
    }

    /// <summary>The nodes that may hold stages, each with the ranks that are expected on its machine: as many compute there side by side. One where none is expected.</summary>
    internal static IReadOnlyList<(NodeStatus Node, int RankCount)> Targets(RunSettings settings, IReadOnlyList<NodeStatus> nodes)
    {
        var ranks = ClusterWorld.RankPlaces(settings, nodes, node => node.Speed).CountBy(place => place.Host).ToDictionary();
        return [.. nodes.Where(node => node.Roles.Contains(NodeInfo.StageRole)).Select(node => (node, Math.Max(1, ranks.GetValueOrDefault(node.Host))))];
    }

    private ProfiledNodeResult Kept(NodeStatus node, int rankCount, MeasuredUnits costs)
    {
        var file = NodeMeasurement.ToFile(costs, node.Host, node.Name, node.Speed, context.Time.GetUtcNow());
        // What a node says is data: it is judged as any file is.
        if (file.Fault(bound.Settings) is { } fault) return new ProfiledNodeResult(node, rankCount, null, $"What it answered {fault}");
        ProfileStore.Write(bound.Settings, null, file);
        return new ProfiledNodeResult(node, rankCount, file, "");
    }
}
