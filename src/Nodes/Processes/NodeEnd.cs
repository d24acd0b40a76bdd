using Akka.Actor;
using Pipeline.Protocol.Security.Guard;

namespace Pipeline.Nodes;

/// <summary>Why a node ended.</summary>
/// <param name="IsOrderly">Whether it left in good order.</param>
/// <param name="Sentence">One line for whoever looks after it.</param>
/// <param name="Leaves">Whether it tells the cluster that it leaves.</param>
public sealed record NodeEnd(bool IsOrderly, string Sentence, bool Leaves)
{
    /// <summary>Whether it never took part, because of what it was given: settings, certificates, a version.</summary>
    public bool IsRefusal { get; private init; }

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
        "The node could not join: none of the seed nodes answered in time. Start the first of cluster.seed-nodes, and give every node the same list and the same cluster.name.", false) { IsRefusal = true };

    /// <summary>Its stages were given away in a newer generation.</summary>
    public static NodeEnd Fenced { get; } = new(false,
        "The node was shut out: its stages were given away in a newer generation while it did not answer, or since one of its ranks hung. Start it anew; it joins as a new node.", false);

    /// <summary>Certificates kept it from joining.</summary>
    internal static NodeEnd Unadmitted(DialRefusal refusal) => new(false,
        $"The node could not join: {refusal.Address} is refused or refuses. {refusal.Clause}. Give all nodes certificates of one authority, none of them revoked: "
        + "`pipeline certs issue --dir DIR`, DIR being the folder of the authority that security.ca of the others names.", false) { IsRefusal = true };

    /// <summary>Whoever leads the cluster does not let it take part.</summary>
    internal static NodeEnd NotAdmitted(string sentence) => new(false, sentence, true) { IsRefusal = true };

    /// <summary>Its cluster was founded beside another one, and is the one of both that is given up.</summary>
    /// <param name="sentence">What was found, and the remedy.</param>
    /// <param name="isByList">Whether by its list of seed nodes, with which it would come to the same again.</param>
    internal static NodeEnd FoundedApart(string sentence, bool isByList) => new(false, sentence, false) { IsRefusal = isByList };

    internal static NodeEnd Of(CoordinatedShutdown.Reason? reason) => reason switch
    {
        CoordinatedShutdown.ClusterDowningReason => Downed,
        CoordinatedShutdown.ClusterJoinUnsuccessfulReason => Unjoined,
        CoordinatedShutdown.ClusterLeavingReason => Drained,
        _ => new NodeEnd(false, $"The node's actor system has ended, without a reason that it knows of ({reason?.GetType().Name ?? "none"}).", false),
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
