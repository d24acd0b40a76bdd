using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>One way from rank to rank.</summary>
/// <param name="Latency">From the last byte's departure to its arrival.</param>
/// <param name="BytesPerSecond">Above 0; infinity where bandwidth does not count.</param>
/// <param name="Channel">Links that share a channel, such as a node's network card, send one message after the other.</param>
public readonly record struct RankLink(double Latency, double BytesPerSecond, int Channel);

/// <summary>How outputs travel between stages on different ranks. Within a rank they are handed over at no cost.</summary>
public sealed record LinkModel
{
    /// <summary>The link from one rank to another.</summary>
    public required Func<int, int, RankLink> Between { get; init; }

    /// <summary>The number of channels that <see cref="Between"/> names, from 0.</summary>
    public required int ChannelCount { get; init; }

    /// <summary>
    /// Bytes of each stage's output, which its gradient has too; as many as there are stages, the last one's do not travel.
    /// </summary>
    public required ImmutableArray<long> OutputBytes { get; init; }

    /// <summary>Time per byte to make a message of a tensor, and again to make a tensor of a message.</summary>
    public double SerializationPerByte { get; init; }

    /// <summary>
    /// True where a lane of its own serialises, so that it only delays the message; false where it keeps the rank from computing.
    /// </summary>
    public bool SerializesAside { get; init; }

    /// <summary>
    /// A cluster of nodes with equally many devices: ranks fill node after node. Within a node each pair of ranks has a channel of
    /// its own; all that leaves a node shares its network card.
    /// </summary>
    public static LinkModel OfNodes(int nodeCount, int devicesPerNode, RankLink within, RankLink between, ImmutableArray<long> outputBytes) => new()
    {
        // A card a node, then one channel for each ordered pair of devices of a node.
        ChannelCount = checked(nodeCount + (nodeCount * devicesPerNode * devicesPerNode)),
        OutputBytes = outputBytes,
        Between = (from, to) => from / devicesPerNode == to / devicesPerNode
            ? within with { Channel = nodeCount + (from * devicesPerNode) + (to % devicesPerNode) }
            : between with { Channel = from / devicesPerNode },
    };
}
