namespace Pipeline.Schedules;

/// <summary>How a division of units over ranks was found, and so what may be said of it.</summary>
public enum PartitionMethod
{
    /// <summary>By a search that leaves out nothing: no other division has a faster slowest stage.</summary>
    Exact,

    /// <summary>Exact for the order of nodes given, which is not ours to choose.</summary>
    GivenOrder,

    /// <summary>Nodes of too many kinds: their order was searched by swaps.</summary>
    ManyKinds,

    /// <summary>Few kinds, but too many ways to use them: their order was searched by swaps.</summary>
    ManyCombinations,

    /// <summary>Several stages on each rank: cut by time with a share of the rank's memory, nodes in the order given.</summary>
    SeveralStages,

    /// <summary>One stage a rank, but the order of its actions holds another amount than the search counts: memory was searched in steps.</summary>
    MemoryInSteps,
}

/// <summary>What is said of the methods that are not exact.</summary>
internal static class PartitionMethods
{
    /// <summary>A sentence, or null of the exact search.</summary>
    public static string? Reservation(this PartitionMethod method) => method switch
    {
        PartitionMethod.GivenOrder => "Ranks are reckoned on the nodes on which they would be placed; for that order no other cuts have a faster slowest stage.",
        PartitionMethod.ManyKinds => $"The nodes are of more than {NodePartitioner.MaxClassCount} kinds, so that their order was searched by swaps, not exactly.",
        PartitionMethod.ManyCombinations => "The nodes are of few kinds but can be used in too many ways to try them all, so that their order was searched by swaps, not exactly.",
        PartitionMethod.SeveralStages => "With several stages a rank the cuts are a heuristic: the slowest stage is made as fast as the given order of nodes lets it be, with shares of each rank's memory tried in turn.",
        PartitionMethod.MemoryInSteps => "Its cuts are a heuristic: what its ranks hold depends on the order of their actions, and limits of memory were tried in steps until that fitted.",
        _ => null,
    };
}
