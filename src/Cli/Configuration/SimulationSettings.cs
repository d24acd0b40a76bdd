namespace Pipeline.Cli.Configuration;

/// <summary>The cluster that <c>simulate</c> and <c>plan</c> reckon with.</summary>
public sealed record SimulationSettings
{
    /// <summary>Nodes; null for the machine at hand.</summary>
    public required int? NodeCount { get; init; }

    /// <summary>Devices of each node; a rank takes one.</summary>
    public required int DevicesPerNode { get; init; }

    /// <summary>Operations a second that a device of speed 1 sustains.</summary>
    public required double DeviceFlops { get; init; }

    /// <summary>Bytes of a device.</summary>
    public required double DeviceMemory { get; init; }

    /// <summary>So many nodes of that relative speed, in order; nodes beyond them have speed 1.</summary>
    public required IReadOnlyList<(int Count, double Speed)> NodeSpeeds { get; init; }

    /// <summary>So many nodes whose devices have that share of <see cref="DeviceMemory"/>, in order; nodes beyond them have all of it.</summary>
    public required IReadOnlyList<(int Count, double Share)> NodeMemories { get; init; }

    /// <summary>Ranks, replica by replica, that take so many times as long for what they begin within some seconds of the step.</summary>
    public required IReadOnlyList<(int Rank, double Factor, double From, double To)> Stragglers { get; init; }

    /// <summary>Latency and bandwidth within a node.</summary>
    public required (double Latency, double BytesPerSecond) Within { get; init; }

    /// <summary>Latency and bandwidth between nodes.</summary>
    public required (double Latency, double BytesPerSecond) Between { get; init; }

    /// <summary>Seconds per byte on each side.</summary>
    public required double Serialization { get; init; }

    /// <summary>Whether messages are made beside the computation.</summary>
    public required bool SerializesAside { get; init; }

    /// <summary>Replicas of the pipeline.</summary>
    public required int ReplicaCount { get; init; }

    /// <summary>Binds.</summary>
    internal static SimulationSettings From(ResolvedConfiguration from) => new()
    {
        NodeCount = (int?)from.Get(SimulationKeys.Nodes),
        DevicesPerNode = from.Count(SimulationKeys.DevicesPerNode),
        DeviceFlops = from.Get(SimulationKeys.DeviceSpeed),
        DeviceMemory = from.Get(SimulationKeys.DeviceMemory),
        NodeSpeeds = SimulationKeys.Pairs(from.Get(SimulationKeys.NodeSpeeds)),
        NodeMemories = SimulationKeys.Pairs(from.Get(SimulationKeys.NodeMemories)),
        Stragglers = SimulationKeys.Slow(from.Get(SimulationKeys.Stragglers)),
        Within = (from.Get(SimulationKeys.LatencyWithin), from.Get(SimulationKeys.BandwidthWithin)),
        Between = (from.Get(SimulationKeys.LatencyBetween), from.Get(SimulationKeys.BandwidthBetween)),
        Serialization = from.Get(SimulationKeys.Serialization),
        SerializesAside = from.Get(SimulationKeys.SerializesAside),
        ReplicaCount = from.Count(SimulationKeys.Replicas),
    };
}
