using System.Net;
using System.Text.RegularExpressions;
using Pipeline.Nodes;

namespace Pipeline.Cli.Configuration;

/// <summary>Keys of <c>pipeline.cluster</c>. None of them changes a run's numbers, so a resumed run may change them all.</summary>
public static partial class ClusterKeys
{
    /// <summary>Processes that <c>train</c> starts.</summary>
    public static readonly WholeNumberSetting Processes = new("cluster.processes", 1, 64, "processes") { ChangesOnResume = true };

    /// <summary>The cluster.</summary>
    public static readonly TextSetting Name = new("cluster.name", "letters, digits and hyphens, a letter first")
    {
        Accepts = text => ClusterPattern().IsMatch(text),
        ChangesOnResume = true,
    };

    /// <summary>This node.</summary>
    public static readonly OptionalSetting<string, string?> NodeName =
        new(new TextSetting("cluster.node-name", "letters, digits, dots and hyphens") { Accepts = text => NodePattern().IsMatch(text) }) { ChangesOnResume = true };

    /// <summary>Where it is reached.</summary>
    public static readonly TextSetting Host = new("cluster.host", "an address or name of this machine")
    {
        Accepts = text => Uri.CheckHostName(text) != UriHostNameType.Unknown,
        ChangesOnResume = true,
    };

    /// <summary>Where it listens.</summary>
    public static readonly OptionalSetting<string, string?> Bind = new(new TextSetting("cluster.bind", "an address of this machine, such as 0.0.0.0")
    {
        Accepts = text => IPAddress.TryParse(text, out _),
    }) { ChangesOnResume = true };

    /// <summary>Port of the actor system.</summary>
    public static readonly WholeNumberSetting Port = PortKey("cluster.port");

    /// <summary>Port of commands.</summary>
    public static readonly WholeNumberSetting ControlPort = PortKey("cluster.control-port");

    /// <summary>Nodes through which a node joins.</summary>
    public static readonly TextListSetting SeedNodes = new("cluster.seed-nodes", "a list of host:port, such as [\"10.0.0.1:4053\", \"10.0.0.2:4053\"]")
    {
        AcceptsItem = item => ControlClient.TrySplit(item, out _, out _),
        ChangesOnResume = true,
    };

    /// <summary>What a node may be.</summary>
    public static readonly TextListSetting Roles = new("cluster.roles", "a list of roles out of coordinator, stage")
    {
        AcceptsItem = item => item is NodeRole.Coordinator or NodeRole.Stage,
        ChangesOnResume = true,
    };

    /// <summary>What a command must show.</summary>
    public static readonly OptionalSetting<string, string?> TokenFile = new(new TextSetting("cluster.token-file", "the path of a file")) { ChangesOnResume = true };

    /// <summary>How long a node tries to join.</summary>
    public static readonly RealNumberSetting JoinTimeout = new("cluster.join-timeout", new(1, 3600), "seconds") { ChangesOnResume = true };

    /// <summary>Silence that counts as a loss.</summary>
    public static readonly RealNumberSetting SuspectAfter = new("cluster.suspect-after", new(2, 3600), "seconds") { ChangesOnResume = true };

    /// <summary>How long a thread may be at one action while all else stands still.</summary>
    public static readonly RealNumberSetting HangAfter = new("cluster.hang-after", new(0, 86_400), "seconds; 0 for no limit") { ChangesOnResume = true };

    /// <summary>How long stages go on while nobody leads.</summary>
    public static readonly RealNumberSetting AheadSpan = new("cluster.ahead-span", new(0, 3600), "seconds; 0 for four steps") { ChangesOnResume = true };

    /// <summary>At most so many steps of that time.</summary>
    public static readonly WholeNumberSetting AheadSteps = new("cluster.ahead-steps", 1, 1_000_000, "steps") { ChangesOnResume = true };

    /// <summary>What a rank may keep meanwhile.</summary>
    public static readonly WholeNumberSetting AheadMemory = new("cluster.ahead-memory", 0, 1_000_000, "MiB") { ChangesOnResume = true };

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } =
        [Processes, Name, NodeName, Host, Bind, Port, ControlPort, SeedNodes, Roles, TokenFile, JoinTimeout, SuspectAfter, HangAfter, AheadSpan, AheadSteps, AheadMemory];

    private static WholeNumberSetting PortKey(string path) => new(path, 0, 65_535, "port; 0 lets the system choose") { ChangesOnResume = true };

    [GeneratedRegex("^[A-Za-z][A-Za-z0-9-]{0,62}$")]
    private static partial Regex ClusterPattern();

    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$")]
    private static partial Regex NodePattern();
}
