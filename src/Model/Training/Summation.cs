namespace Pipeline.Model.Training;

/// <summary>In which order the gradients of a step's micro-batches are added; it decides the last bits of a run.</summary>
public enum Summation
{
    /// <summary>
    /// Each replica adds its own in the order of their indices, then the replicas' sums are added in a balanced binary tree: no memory
    /// and no time beyond the additions, but another number of replicas gives other last bits.
    /// </summary>
    Fast,

    /// <summary>
    /// All in one balanced binary tree over the index of the micro-batch, whoever computes it: the same bits for any number of replicas,
    /// at one more pass over the gradient a micro-batch and up to ⌈log2 m⌉ + 1 further buffers of the gradient's size.
    /// </summary>
    Invariant,
}
