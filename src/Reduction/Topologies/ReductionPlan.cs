using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Topologies;

/// <summary>The leaves of the tree that a replica computes.</summary>
/// <param name="First">First leaf.</param>
/// <param name="Count">Number of leaves; may be 0.</param>
public readonly record struct LeafShare(int First, int Count)
{
    /// <summary>
    /// One leaf a replica, its own sum: <c>numerics.summation = fast</c>. The order of addition then depends on the number of replicas.
    /// </summary>
    public static IReadOnlyList<LeafShare> OnePerReplica(int replicaCount) => [.. Enumerable.Range(0, replicaCount).Select(index => new LeafShare(index, 1))];

    /// <summary>Contiguous shares of so many leaves, as even as can be, the larger ones first.</summary>
    public static IReadOnlyList<LeafShare> Even(int leafCount, int replicaCount) => [.. Enumerable.Range(0, replicaCount).Select(index =>
    {
        var (each, left) = Math.DivRem(leafCount, replicaCount);
        return new LeafShare(index * each + Math.Min(index, left), each + (index < left ? 1 : 0));
    })];
}

/// <summary>
/// Who sends what to whom so that a bucket is summed over all replicas, as data. Every plan over the same tree evaluates that tree, so
/// the bits of the sum do not depend on the topology. Contributions flow towards the shards' owners, answers back; a sharded optimizer
/// leaves the answers out and sends weights instead.
/// </summary>
/// <param name="Tree">Order of addition: over the replicas, or over the micro-batches of the step.</param>
/// <param name="Shares">Leaves of each replica.</param>
/// <param name="Length">Elements of the bucket.</param>
/// <param name="Shards">Ranges of the bucket, in order, without gaps.</param>
/// <param name="Contributions">Towards the owners; a participant's own come after those that it waits for.</param>
/// <param name="Answers">From the owners, in the order in which they can be sent.</param>
public sealed record ReductionPlan(
    SummationTree Tree,
    IReadOnlyList<LeafShare> Shares,
    int Length,
    IReadOnlyList<Shard> Shards,
    IReadOnlyList<Transfer> Contributions,
    IReadOnlyList<Transfer> Answers)
{
    /// <summary>Number of replicas.</summary>
    public int ReplicaCount => Shares.Count;

    /// <summary>The sums that a participant makes itself; the reducer makes none.</summary>
    public IReadOnlyList<TreeNode> Own(Participant participant) =>
        participant.IsReplica ? Tree.CompleteSubtrees(Shares[participant.Replica].First, Shares[participant.Replica].Count) : [];

    /// <summary>All who take part.</summary>
    public IReadOnlyList<Participant> Participants =>
        [.. Enumerable.Range(0, ReplicaCount).Select(index => new Participant(index)).Concat(Shards.Select(shard => shard.Owner)).Distinct()];

    /// <summary>Elements that a participant sends in one reduction.</summary>
    public long ElementsSentBy(Participant participant) =>
        Contributions.Concat(Answers).Where(transfer => transfer.From == participant).Sum(transfer => transfer.ElementCount);

    /// <summary>What a participant awaits for a shard before it can pass its own part on.</summary>
    public IReadOnlyList<Transfer> ContributionsTo(Participant participant, Shard shard) =>
        [.. Contributions.Where(transfer => transfer.To == participant && transfer.Shard == shard)];

    /// <summary>What a participant passes on for a shard; null at its owner, and where it has no leaf.</summary>
    public Transfer? ContributionFrom(Participant participant, Shard shard) =>
        Contributions.SingleOrDefault(transfer => transfer.From == participant && transfer.Shard == shard);
}
