using Akka.Actor;

namespace Pipeline.Nodes;

/// <summary>Why a node ended.</summary>
/// <param name="IsOrderly">Whether it left in good order.</param>
/// <param name="Sentence">One line for whoever looks after it.</param>
/// <param name="Leaves">Whether it tells the cluster that it leaves.</param>
public sealed record NodeEnd(bool IsOrderly, string Sentence, bool Leaves)
{
    /// <summary>It was asked to.</summary>
    public static NodeEnd Drained { get; } = new(true, "The node has left the cluster.", true);

    /// <summary>Whoever started it is gone.</summary>
    public static NodeEnd Orphaned { get; } = new(true, "The program that started the node is gone, and the node with it.", false);

    /// <summary>A peer has quarantined it.</summary>
    public static NodeEnd Quarantined { get; } = new(false,
        "The node was quarantined: the others took it for dead and have given its stages away. Start it anew; it joins as a new node.", false);

    /// <summary>The cluster has removed it.</summary>
    public static NodeEnd Downed { get; } = new(false,
        "The node was downed: the others could not reach it and have given its stages away, or it was on the smaller side of a partition. Start it anew; it joins as a new node.", false);

    /// <summary>It never joined.</summary>
    public static NodeEnd Unjoined { get; } = new(false,
        "The node could not join: none of the seed nodes answered in time. Start the first of cluster.seed-nodes, and give every node the same list and the same cluster.name.", false);

    /// <summary>Its stages were given away in a newer generation.</summary>
    public static NodeEnd Fenced { get; } = new(false,
        "The node was shut out: its stages were given away in a newer generation while it did not answer. Start it anew; it joins as a new node.", false);

    internal static NodeEnd Of(CoordinatedShutdown.Reason? reason) => reason switch
    {
        CoordinatedShutdown.ClusterDowningReason => Downed,
        CoordinatedShutdown.ClusterJoinUnsuccessfulReason => Unjoined,
        CoordinatedShutdown.ClusterLeavingReason => Drained,
        _ => new NodeEnd(false, "The node's actor system has ended.", false),
    };
}

/// <summary>Roles of nodes.</summary>
public static class NodeRole
{
    /// <summary>May lead the run.</summary>
    public const string Coordinator = "coordinator";

    /// <summary>May hold stages.</summary>
    public const string Stage = "stage";
}
