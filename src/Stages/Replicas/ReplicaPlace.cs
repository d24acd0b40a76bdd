using Pipeline.Model.Training;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Stages;

/// <summary>Which replica of the pipeline a rank belongs to, and which micro-batches of a step that replica computes. A value.</summary>
/// <param name="Index">Index of the replica, from 0.</param>
/// <param name="Shares">Contiguous micro-batches of each replica, together those of the step.</param>
/// <param name="Summation">Order in which gradients are added.</param>
internal sealed record ReplicaPlace(int Index, IReadOnlyList<LeafShare> Shares, Summation Summation)
{
    /// <summary>What the names of a replica's own tensors begin with, where it has weights that others have not.</summary>
    internal const string Prefix = "replica-";

    /// <summary>By replica, the number of its machine; null where all lie on one.</summary>
    internal IReadOnlyList<int>? Machines { get; init; }

    /// <summary>Number of replicas.</summary>
    internal int Count => Shares.Count;

    /// <summary>Whether gradients take another way than straight into the flat buffers.</summary>
    internal bool Reduces => Count > 1 || Summation == Summation.Invariant;

    /// <summary>The step's first micro-batch that this replica computes.</summary>
    internal int FirstMicroBatch => Shares[Index].First;

    /// <summary>The order of addition: over the step's micro-batches, or over the replicas' own sums.</summary>
    internal SummationTree Tree => new(Summation == Summation.Invariant ? Shares.Sum(share => share.Count) : Count);

    /// <summary>The leaves of that tree that each replica holds.</summary>
    internal IReadOnlyList<LeafShare> Leaves => Summation == Summation.Invariant ? Shares : LeafShare.OnePerReplica(Count);
}
