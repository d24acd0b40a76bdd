using Pipeline.Data;
using Pipeline.Nodes;

namespace Pipeline.Cli.Configuration;

/// <summary>The processes that a run is spread over, and how they find each other.</summary>
public sealed record ClusterSettings
{
    /// <summary>Processes that <c>train</c> starts; 1 for none beside its own.</summary>
    public required int ProcessCount { get; init; }

    /// <summary>This process as a node.</summary>
    public required NodeSettings Node { get; init; }

    /// <summary>Where the cluster takes commands: the control ports of the seed nodes' machines.</summary>
    public IReadOnlyList<string> Contacts => [.. Node.SeedNodes.Select(seed => FormattableString.Invariant($"{seed[..seed.LastIndexOf(':')]}:{Node.ControlPort}")).Distinct()];

    /// <summary>A node that has been silent for so long counts as lost.</summary>
    public required TimeSpan SuspectAfter { get; init; }

    /// <summary>A rank that has not stirred for so long, while nothing moves, is given up with its node; zero for never.</summary>
    public required TimeSpan HangAfter { get; init; }

    /// <summary>The steps that stages are granted ahead cover so much time: that of a change of leaders.</summary>
    public required TimeSpan AheadSpan { get; init; }

    /// <summary>They are never more than so many.</summary>
    public required int AheadSteps { get; init; }

    /// <summary>What a rank may keep of what it has sent, in bytes, while it takes them.</summary>
    public required long AheadByteCount { get; init; }

    internal static ClusterSettings From(ResolvedConfiguration from)
    {
        var port = from.Count(ClusterKeys.Port);
        return new()
        {
            ProcessCount = from.Count(ClusterKeys.Processes),
            SuspectAfter = TimeSpan.FromSeconds(from.Get(ClusterKeys.SuspectAfter)),
            HangAfter = TimeSpan.FromSeconds(from.Get(ClusterKeys.HangAfter)),
            AheadSpan = TimeSpan.FromSeconds(from.Get(ClusterKeys.AheadSpan)),
            AheadSteps = from.Count(ClusterKeys.AheadSteps),
            AheadByteCount = (long)from.Count(ClusterKeys.AheadMemory) << 20,
            Node = new NodeSettings
            {
                Name = from.Get(ClusterKeys.NodeName) ?? FormattableString.Invariant($"{Environment.MachineName}-{port}"),
                Cluster = from.Get(ClusterKeys.Name),
                Host = from.Get(ClusterKeys.Host),
                Bind = from.Get(ClusterKeys.Bind),
                Security = SecurityKeys.Settings(from),
                Port = port,
                Device = from.Get(SettingsSchema.Device),
                ControlPort = from.Count(ClusterKeys.ControlPort),
                SeedNodes = from.Get(ClusterKeys.SeedNodes),
                Roles = from.Get(ClusterKeys.Roles),
                TokenPath = from.Get(ClusterKeys.TokenFile) ?? Path.Combine(DataSettings.DefaultCacheFolder(), "cluster-" + from.Get(ClusterKeys.Name) + ".token"),
                Links = LinkKeys.From(from),
                Shared = [.. LinkKeys.Shared(from)],
                LinkChoice = LinkKeys.Choice(from),
                HasTunnels = from.Get(SettingsSchema.Link) == LinkKind.Akka,
                JoinPatience = TimeSpan.FromSeconds(from.Get(ClusterKeys.JoinTimeout)),
            },
        };
    }
}
