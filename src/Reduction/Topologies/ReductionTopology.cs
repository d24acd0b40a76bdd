using System.Diagnostics;
using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Topologies;

/// <summary>The kinds of <c>reduction.topology</c>.</summary>
public enum ReductionTopology
{
    /// <summary>Every replica sends its bucket to one reducer, which answers all.</summary>
    Coordinator,

    /// <summary>Reduce-scatter to one owner a replica, then all-gather: each sends 2(d − 1)/d of the bucket.</summary>
    Sharded,

    /// <summary>Groups, such as the replicas of a host, add up at their leader; the leaders share the bucket as in <see cref="Sharded"/>.</summary>
    Hierarchical,
}

/// <summary>Makes the plans of the topologies.</summary>
public static class ReductionPlans
{
    /// <summary>The plan of a topology.</summary>
    /// <param name="topology">Which one.</param>
    /// <param name="length">Elements of the bucket.</param>
    /// <param name="tree">Order of addition.</param>
    /// <param name="shares">Leaves of each replica, together all of the tree's, each once.</param>
    /// <param name="groups">Replicas by group, each once; used by <see cref="ReductionTopology.Hierarchical"/>.</param>
    /// <param name="pieceLength">Most elements that travel as one message, of each sum.</param>
    /// <exception cref="ArgumentException">Shares or groups do not hold everything once.</exception>
    public static ReductionPlan Make(
        ReductionTopology topology, int length, SummationTree tree, IReadOnlyList<LeafShare> shares, IReadOnlyList<IReadOnlyList<int>> groups, int pieceLength = int.MaxValue)
    {
        RequireOnce("leaves", shares.SelectMany(share => Enumerable.Range(share.First, share.Count)), tree.LeafCount);
        return topology switch
        {
            ReductionTopology.Coordinator => Coordinator(length, tree, shares, pieceLength),
            ReductionTopology.Sharded => Grouped(length, tree, shares, [.. shares.Select((_, index) => new[] { index })], pieceLength),
            ReductionTopology.Hierarchical => Grouped(length, tree, shares, groups, pieceLength),
            _ => throw new UnreachableException($"topology {(int)topology}"),
        };
    }

    /// <summary>
    /// The plan of a reduce-scatter alone: each shard is completed at its owner, and nothing goes back. Replicas of a group add up at its first one, which passes their sum on to the owner; those of
    /// the owner's own group, at the owner.
    /// </summary>
    /// <param name="length">Elements of the bucket.</param>
    /// <param name="tree">Order of addition.</param>
    /// <param name="shares">Leaves of each replica, together all of the tree's, each once.</param>
    /// <param name="shards">Ranges of the bucket, in order, without gaps.</param>
    /// <param name="groups">Replicas by group, each once; null where each replica sends to the owner itself.</param>
    /// <exception cref="ArgumentException">Shares or groups do not hold everything once, or the shards are not the bucket.</exception>
    public static ReductionPlan Scatter(int length, SummationTree tree, IReadOnlyList<LeafShare> shares, IReadOnlyList<Shard> shards, IReadOnlyList<IReadOnlyList<int>>? groups = null)
    {
        groups ??= [.. shares.Select((_, replica) => new[] { replica })];
        RequireOnce("replicas", groups.SelectMany(group => group), shares.Count);
        var bare = Bare(length, tree, shares, shards);
        return bare with
        {
            Contributions = [.. shards.SelectMany(shard => groups.SelectMany(group => Contributions(bare, shard, Towards(shard.Owner, group)))).Where(HasNodes)],
        };
    }

    /// <summary>The same where the reducer beside the replicas completes every shard, and tells its sum to its owner alone.</summary>
    /// <inheritdoc cref="Scatter"/>
    public static ReductionPlan ScatterBeside(int length, SummationTree tree, IReadOnlyList<LeafShare> shares, IReadOnlyList<Shard> shards)
    {
        var bare = Bare(length, tree, shares, [.. shards.Select(shard => shard with { Owner = Participant.Reducer })]);
        return bare with
        {
            Contributions = ToReducer(bare),
            Answers = [.. bare.Shards.Zip(shards, (shard, owned) => new Transfer(Participant.Reducer, owned.Owner, shard, [tree.Root]))],
        };
    }

    /// <summary>A plan in which nobody sends anything yet.</summary>
    private static ReductionPlan Bare(int length, SummationTree tree, IReadOnlyList<LeafShare> shares, IReadOnlyList<Shard> shards)
    {
        RequireOnce("leaves", shares.SelectMany(share => Enumerable.Range(share.First, share.Count)), tree.LeafCount);
        var end = 0;
        foreach (var shard in shards) end = shard.Start == end ? end + shard.Length : throw new ArgumentException($"A shard begins at {shard.Start}, expected {end}.", nameof(shards));
        if (end != length) throw new ArgumentException($"The shards end at {end}, expected {length}.", nameof(shards));
        return new ReductionPlan(tree, shares, length, shards, [], []);
    }

    /// <summary>A group as a shard's owner sees it: first of its own stands the owner itself.</summary>
    private static IReadOnlyList<int> Towards(Participant owner, IReadOnlyList<int> group) =>
        owner.IsReplica && group.Contains(owner.Replica) ? [owner.Replica, .. group.Where(replica => replica != owner.Replica)] : group;

    private static ReductionPlan Coordinator(int length, SummationTree tree, IReadOnlyList<LeafShare> shares, int pieceLength)
    {
        var bare = new ReductionPlan(tree, shares, length, Shard.InPieces(Shard.Cut(length, [Participant.Reducer]), pieceLength), [], []);
        return bare with
        {
            Contributions = ToReducer(bare),
            Answers = [.. bare.Shards.SelectMany(shard => Replicas(bare).Select(replica => new Transfer(Participant.Reducer, replica, shard, [tree.Root])))],
        };
    }

    private static Transfer[] ToReducer(ReductionPlan plan) =>
        [.. plan.Shards.SelectMany(shard => Replicas(plan).Select(replica => new Transfer(replica, Participant.Reducer, shard, plan.Own(replica)))).Where(HasNodes)];

    private static IEnumerable<Participant> Replicas(ReductionPlan plan) => plan.Shares.Select((_, index) => new Participant(index));

    /// <summary>
    /// One shard a group (in pieces), completed at its leader, the group's first replica; with one replica a group that is reduce-scatter and
    /// all-gather. A group that is an aligned subtree passes one sum on; any other passes its maximal complete subtrees on, which costs
    /// bytes but no bit.
    /// </summary>
    private static ReductionPlan Grouped(int length, SummationTree tree, IReadOnlyList<LeafShare> shares, IReadOnlyList<IReadOnlyList<int>> groups, int pieceLength)
    {
        RequireOnce("replicas", groups.SelectMany(group => group), shares.Count);
        if (groups.Any(group => group.Count == 0)) throw new ArgumentException("A group of replicas is empty.", nameof(groups));
        var bare = new ReductionPlan(tree, shares, length, Shard.InPieces(Shard.Cut(length, [.. groups.Select(Leader)]), pieceLength), [], []);
        return bare with
        {
            Contributions = [.. bare.Shards.SelectMany(shard => groups.SelectMany(group => Contributions(bare, shard, group))).Where(HasNodes)],
            Answers = [.. bare.Shards.SelectMany(shard => Answers(bare, shard, groups))],
        };
    }

    private static IEnumerable<Transfer> Contributions(ReductionPlan plan, Shard shard, IReadOnlyList<int> group)
    {
        foreach (var member in Members(group)) yield return new Transfer(member, Leader(group), shard, plan.Own(member));
        if (Leader(group) == shard.Owner) yield break;
        int[] leaves = [.. group.SelectMany(replica => Enumerable.Range(plan.Shares[replica].First, plan.Shares[replica].Count)).Order()];
        yield return new Transfer(Leader(group), shard.Owner, shard, plan.Tree.CompleteSubtrees(leaves));
    }

    private static IEnumerable<Transfer> Answers(ReductionPlan plan, Shard shard, IReadOnlyList<IReadOnlyList<int>> groups)
    {
        foreach (var leader in groups.Select(Leader).Where(leader => leader != shard.Owner)) yield return new Transfer(shard.Owner, leader, shard, [plan.Tree.Root]);
        foreach (var group in groups)
        {
            foreach (var member in Members(group)) yield return new Transfer(Leader(group), member, shard, [plan.Tree.Root]);
        }
    }

    private static Participant Leader(IReadOnlyList<int> group) => new(group[0]);

    private static IEnumerable<Participant> Members(IReadOnlyList<int> group) => group.Skip(1).Select(index => new Participant(index));

    private static bool HasNodes(Transfer transfer) => transfer.Nodes.Count > 0;

    private static void RequireOnce(string what, IEnumerable<int> found, int count)
    {
        int[] sorted = [.. found.Order()];
        if (!sorted.SequenceEqual(Enumerable.Range(0, count)))
            throw new ArgumentException($"Expected each of the {count} {what} from 0 once, found {string.Join(' ', sorted)}.", nameof(found));
    }
}
