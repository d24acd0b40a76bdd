using System.Globalization;
using System.Text.RegularExpressions;

namespace Pipeline.Cli.Configuration;

/// <summary>Keys of <c>pipeline.simulation</c>: the cluster that <c>simulate</c> and <c>plan</c> reckon with.</summary>
public static partial class SimulationKeys
{
    /// <summary>Nodes.</summary>
    public static readonly OptionalSetting<long, long?> Nodes = new(new WholeNumberSetting("simulation.nodes", 1, 65_536, "nodes"));

    /// <summary>Devices of each node.</summary>
    public static readonly WholeNumberSetting DevicesPerNode = new("simulation.devices-per-node", 1, 1024, "devices");

    /// <summary>Speed of a device.</summary>
    public static readonly RealNumberSetting DeviceSpeed = new("simulation.device-flops", new(0, 1e18, WithoutMinimum: true), "operations a second, sustained in large products");

    /// <summary>Memory of a device.</summary>
    public static readonly RealNumberSetting DeviceMemory = new("simulation.device-memory", new(0, 1e15, WithoutMinimum: true), "bytes");

    /// <summary>Relative speeds of nodes.</summary>
    public static readonly OptionalSetting<string, string?> NodeSpeeds = new(new TextSetting("simulation.node-speeds", "parts such as 48x1.0, 16x0.6: so many nodes of that relative speed")
    {
        Accepts = text => PairPattern().IsMatch(text),
    });

    /// <summary>Relative memories of nodes.</summary>
    public static readonly OptionalSetting<string, string?> NodeMemories = new(new TextSetting("simulation.node-memories", "parts such as 48x1.0, 16x0.5: so many nodes whose devices have that share of device-memory")
    {
        Accepts = text => PairPattern().IsMatch(text),
    });

    /// <summary>Ranks that are slower than their node says.</summary>
    public static readonly OptionalSetting<string, string?> Stragglers = new(new TextSetting("simulation.stragglers", "parts such as 17x1.5 or 17x1.5@0.2:0.4: the rank, how many times as long it takes, and within which seconds of the step")
    {
        Accepts = text => StragglerPattern().IsMatch(text) && Slow(text).All(part => part.Factor > 0 && part.From < part.To),
    });

    /// <summary>Latency within a node.</summary>
    public static readonly RealNumberSetting LatencyWithin = new("simulation.link-within.latency", new(0, 10), "seconds");

    /// <summary>Bandwidth within a node.</summary>
    public static readonly RealNumberSetting BandwidthWithin = new("simulation.link-within.bandwidth", new(0, 1e15, WithoutMinimum: true), "bytes a second, each pair of devices");

    /// <summary>Latency between nodes.</summary>
    public static readonly RealNumberSetting LatencyBetween = new("simulation.link-between.latency", new(0, 10), "seconds");

    /// <summary>Bandwidth between nodes.</summary>
    public static readonly RealNumberSetting BandwidthBetween = new("simulation.link-between.bandwidth", new(0, 1e15, WithoutMinimum: true), "bytes a second, all that leaves a node");

    /// <summary>Cost of making a message.</summary>
    public static readonly RealNumberSetting Serialization = new("simulation.serialization", new(0, 1), "seconds per byte, on each side");

    /// <summary>Whether messages are made beside the computation.</summary>
    public static readonly FlagSetting SerializesAside = new("simulation.overlap");

    /// <summary>Replicas of the pipeline.</summary>
    public static readonly WholeNumberSetting Replicas = new("simulation.replicas", 1, 65_536, "replicas of the pipeline");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } =
    [
        Nodes, DevicesPerNode, DeviceSpeed, DeviceMemory, NodeSpeeds, NodeMemories, Stragglers, LatencyWithin, BandwidthWithin, LatencyBetween, BandwidthBetween,
        Serialization, SerializesAside, Replicas,
    ];

    /// <summary>The parts of a list of pairs.</summary>
    internal static IReadOnlyList<(int Count, double Value)> Pairs(string? text) => text is null
        ? []
        : [.. text.Split(',', StringSplitOptions.TrimEntries).Select(part => part.Split('x')).Select(part =>
            (int.Parse(part[0], CultureInfo.InvariantCulture), double.Parse(part[1], CultureInfo.InvariantCulture)))];

    /// <summary>The parts of a list of stragglers; for good where no seconds are named.</summary>
    internal static IReadOnlyList<(int Rank, double Factor, double From, double To)> Slow(string? text) => text is null
        ? []
        : [.. text.Split(',', StringSplitOptions.TrimEntries).Select(part => part.Split('x', '@', ':')).Select(part =>
            (int.Parse(part[0], CultureInfo.InvariantCulture), Number(part[1]), part.Length > 2 ? Number(part[2]) : 0, part.Length > 2 ? Number(part[3]) : double.PositiveInfinity))];

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^\s*\d{1,6}x\d{1,4}(\.\d{1,6})?(@\d{1,6}(\.\d{1,6})?:\d{1,6}(\.\d{1,6})?)?(\s*,\s*\d{1,6}x\d{1,4}(\.\d{1,6})?(@\d{1,6}(\.\d{1,6})?:\d{1,6}(\.\d{1,6})?)?)*\s*$")]
    private static partial Regex StragglerPattern();

    [GeneratedRegex(@"^\s*\d{1,6}x\d{1,4}(\.\d{1,6})?(\s*,\s*\d{1,6}x\d{1,4}(\.\d{1,6})?)*\s*$")]
    private static partial Regex PairPattern();
}
