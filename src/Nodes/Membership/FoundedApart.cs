using Pipeline.Protocol.Security;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// Judges two clusters that have no member in common although one names a node of the other as a seed: somebody has made two of one by a mistake. One that nobody joined and that
/// is at no run can be given up without a loss. Pure.
/// </summary>
internal static class FoundedApart
{
    private const int MostNamed = 8;

    /// <summary>Whether two clusters have no member in common. While a node joins, one of both knows of it before the other.</summary>
    internal static bool Are(ClusterStanding own, ClusterStanding other) => !own.Members.Intersect(other.Members, StringComparer.Ordinal).Any();

    /// <summary>Whether of two clusters founded apart the own one is to be given up: both sides come to opposite answers, or to none where much would be lost.</summary>
    internal static bool Yields(ClusterStanding own, ClusterStanding other) => own is { Members.Count: 1, IsAtRun: false } && IsLighter(own, other);

    /// <summary>Whether their lists differ, so that a start with the same list would end in the same way.</summary>
    internal static bool IsByList(ClusterStanding own, ClusterStanding other) => !own.SeedNodes.SequenceEqual(other.SeedNodes, StringComparer.Ordinal);

    /// <summary>What has happened and what to do, as sentences for people.</summary>
    internal static string Sentence(ClusterStanding own, ClusterStanding other)
    {
        var found = $"Node {own.Name} belongs to a cluster of its own ({Named(own.Members)}), and node {SafeText.Of(other.Name)} to another one of the same name ({Named(other.Members)}): they were founded apart.";
        return IsByList(own, other)
            ? $"{found} cluster.seed-nodes is {Named(own.SeedNodes)} here and {Named(other.SeedNodes)} there. Give every node the same list in the same order, and start the nodes of one of both anew."
            : $"{found} The first of cluster.seed-nodes was started while it could not reach the others. Start the nodes of one of both anew: they join the other.";
    }

    /// <summary>A run weighs more than any number of members, and that more than age.</summary>
    private static bool IsLighter(ClusterStanding own, ClusterStanding other)
    {
        if (other.IsAtRun) return true;
        if (own.Members.Count != other.Members.Count) return own.Members.Count < other.Members.Count;
        return own.UpSince != other.UpSince ? own.UpSince > other.UpSince : string.CompareOrdinal(own.Address, other.Address) > 0;
    }

    private static string Named(IReadOnlyList<string> addresses) =>
        string.Join(", ", addresses.Take(MostNamed).Select(address => SafeText.Of(address))) + (addresses.Count > MostNamed ? $" and {addresses.Count - MostNamed} more" : "");
}
