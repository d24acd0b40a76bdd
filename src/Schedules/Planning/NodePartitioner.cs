using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>A node that can hold one stage.</summary>
/// <param name="Speed">Speed beside that of the plan's profile, above 0.</param>
/// <param name="MemoryBytes">What a stage on it may take.</param>
public readonly record struct NodeCapacity(double Speed, long MemoryBytes)
{
    /// <summary>Costs of the units as they were measured on this node, which then count instead of the plan's and <see cref="Speed"/>; null where nobody measured.</summary>
    public ModelProfile? Profile { get; init; }

    /// <summary>By unit, its time per micro-batch on this node, for a search; null where that is its <see cref="UnitDemand.Cost"/> by <see cref="Speed"/>. Nodes of one kind share one list.</summary>
    public IReadOnlyList<double>? UnitCosts { get; init; }
}

/// <summary>What a unit asks of the node that holds it.</summary>
/// <param name="Cost">Time per micro-batch on a node of speed 1.</param>
/// <param name="StateBytes">Weights, gradients, moments.</param>
/// <param name="KeptBytes">Activations of one micro-batch.</param>
public readonly record struct UnitDemand(double Cost, long StateBytes, long KeptBytes)
{
    /// <summary>What stays of them until they are made again, so that all of <see cref="KeptBytes"/> is there for one micro-batch at a time; null where nothing is dropped.</summary>
    public long? RestBytes { get; init; }

    /// <summary>What stays besides where the unit is its stage's first: the input from which a stage is made again.</summary>
    public long EntryBytes { get; init; }
}

/// <summary>A partition over nodes: which units each stage has, and which node each stage is on.</summary>
/// <param name="Stages">The units of each stage.</param>
/// <param name="NodeOfStage">Index of each stage's node, each node once.</param>
/// <param name="Bottleneck">Time of the stage that takes longest, on its node.</param>
/// <param name="Method">How it was found.</param>
public sealed record NodePartition(ImmutableArray<UnitRange> Stages, ImmutableArray<int> NodeOfStage, double Bottleneck, PartitionMethod Method)
{
    /// <summary>False where nodes had too many kinds, or too many combinations, for the exact search.</summary>
    public bool IsExact => Method is PartitionMethod.Exact;
}

/// <summary>
/// Cuts a chain of units into one contiguous stage per node and orders the nodes, so that the slowest stage is as fast as it can
/// be and every stage fits its node's memory. Dynamic programming over (units placed, nodes of each class used), nodes of equal
/// speed and memory being one class: exact (the objective of PipeDream and Alpa, without their replication). Where there are more
/// than ten classes, or too many combinations, the nodes' order is fixed: as given, then by swaps of two nodes while any helps.
/// </summary>
public static class NodePartitioner
{
    /// <summary>The most classes for which the search is exact.</summary>
    public const int MaxClassCount = 10;

    private const long MaxStateCount = 4_000_000;
    private const int MaxSwapRounds = 4;

    /// <summary>The best partition, or null where none fits the memories.</summary>
    /// <param name="units">The units in model order.</param>
    /// <param name="nodes">One per stage, in any order.</param>
    /// <param name="inFlight">For each stage the micro-batches that it holds at the peak.</param>
    /// <exception cref="ScheduleException">There are more nodes than units, or a number is out of range.</exception>
    public static NodePartition? Partition(IReadOnlyList<UnitDemand> units, IReadOnlyList<NodeCapacity> nodes, IReadOnlyList<int> inFlight)
    {
        if (nodes.Count < 1 || nodes.Count > units.Count)
            throw new ScheduleException($"Cannot split {units.Count} units over {nodes.Count} nodes: each needs at least one unit. Lower pipeline.parallelism.pipeline or add layers.");
        Require(units, nodes, inFlight);
        var classes = NodeClasses.Of(nodes);
        var stateCount = classes.CombinationCount * (units.Count + 1.0);
        if (classes.Count > MaxClassCount) return Heuristic(units, nodes, inFlight, PartitionMethod.ManyKinds);
        return stateCount > MaxStateCount
            ? Heuristic(units, nodes, inFlight, PartitionMethod.ManyCombinations)
            : new ClassSearch(units, classes, inFlight).Find();
    }

    /// <summary>The best partition where the node of each stage is given, or null where none fits the memories. A node may hold several stages: its memory is then what one of them may take.</summary>
    /// <param name="units">The units in model order.</param>
    /// <param name="nodes">By stage.</param>
    /// <param name="inFlight">For each stage the micro-batches that it holds at the peak.</param>
    /// <exception cref="ScheduleException">There are more stages than units, or a number is out of range.</exception>
    public static ImmutableArray<UnitRange>? InOrder(IReadOnlyList<UnitDemand> units, IReadOnlyList<NodeCapacity> nodes, IReadOnlyList<int> inFlight)
    {
        Require(units, nodes, inFlight);
        return new OrderedSearch(units, nodes, inFlight).Find()?.Stages;
    }

    private static void Require(IReadOnlyList<UnitDemand> units, IReadOnlyList<NodeCapacity> nodes, IReadOnlyList<int> inFlight)
    {
        if (nodes.Any(node => !(node.Speed > 0)) || units.Select(unit => unit.Cost).Concat(nodes.SelectMany(node => node.UnitCosts ?? [])).Any(cost => !double.IsFinite(cost) || cost < 0))
            throw new ScheduleException("A partition needs speeds above 0 and costs that are finite numbers from 0.");
        if (nodes.FirstOrDefault(node => node.UnitCosts is { } own && own.Count != units.Count).UnitCosts is { } other)
            throw new ScheduleException($"A node was measured with {other.Count} units, the model has {units.Count}.");
        ArgumentOutOfRangeException.ThrowIfNotEqual(inFlight.Count, nodes.Count, nameof(inFlight));
    }

    private static NodePartition? Heuristic(IReadOnlyList<UnitDemand> units, IReadOnlyList<NodeCapacity> nodes, IReadOnlyList<int> inFlight, PartitionMethod reason)
    {
        var order = Enumerable.Range(0, nodes.Count).ToArray();
        var best = InOrder(order);
        for (var round = 0; round < MaxSwapRounds; round++)
        {
            var isBetter = false;
            for (var left = 0; left < order.Length; left++)
                for (var right = left + 1; right < order.Length; right++)
                {
                    if (nodes[order[left]] == nodes[order[right]])
                        continue;
                    (order[left], order[right]) = (order[right], order[left]);
                    if (InOrder(order) is { } candidate && (best is null || candidate.Bottleneck < best.Bottleneck))
                        (best, isBetter) = (candidate, true);
                    else
                        (order[left], order[right]) = (order[right], order[left]);
                }

            if (!isBetter)
                break;
        }

        return best;

        // Each position has its own node: one class of one node each, taken in order.
        NodePartition? InOrder(int[] nodeOrder)
        {
            var found = new OrderedSearch(units, [.. nodeOrder.Select(node => nodes[node])], inFlight).Find();
            return found is var (stages, bottleneck) ? new NodePartition(stages, [.. nodeOrder], bottleneck, reason) : null;
        }
    }
}
