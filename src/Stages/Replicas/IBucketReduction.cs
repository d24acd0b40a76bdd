using Pipeline.Protocol;

namespace Pipeline.Stages;

/// <summary>
/// One replica's part in adding one bucket's gradients up over the replicas. What has come is worked on whenever the compute thread looks; only
/// <see cref="Reduce"/> and <see cref="Finish"/> wait. Owns its buffers. Called on the compute thread only, whoever else works for it.
/// </summary>
internal interface IBucketReduction : IDisposable
{
    /// <summary>The part of one micro-batch is in the gradients of the bucket's units.</summary>
    /// <param name="leaf">Its index in the step.</param>
    /// <param name="step">Step.</param>
    void AddLeaf(int leaf, StepKey step);

    /// <summary>The gradients are final: sends what others await of this replica and was not sent yet, once a step.</summary>
    void Contribute(StepKey step);

    /// <summary>Works on what has come, without waiting.</summary>
    void Proceed(StepKey step);

    /// <summary>Takes what others contribute, passes on what is complete, and answers for the shards that it owns.</summary>
    /// <param name="step">Step.</param>
    /// <param name="beforeWaiting">Called before each wait: there may be work on other buckets.</param>
    /// <returns>When the last input had arrived; 0 without any.</returns>
    long Reduce(StepKey step, Action beforeWaiting);

    /// <summary>Takes the sums of the others' shards, and leaves all sums that the replica is to have where the optimizer reads them.</summary>
    /// <returns>When the last input had arrived; 0 without any.</returns>
    long Finish(StepKey step);
}
