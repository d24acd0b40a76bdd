using Pipeline.Protocol;
using Pipeline.Reduction;

namespace Pipeline.Stages;

/// <summary>
/// The reduction of one bucket between two replicas whose run compresses nothing: they exchange the whole bucket and both add it up. That needs sums which
/// arrive as they were sent; so from the step on from which an operator has something compressed, it is that of any other number of replicas. Which step that is both
/// know, in every replay. Owns the reduction at work. On the compute thread only.
/// </summary>
/// <param name="settings">Compression, with what an operator has changed.</param>
/// <param name="owes">Whether something is still owed of steps that were compressed, in the run's former life.</param>
/// <param name="make">Makes the reduction for exact sums, or for any.</param>
internal sealed class PairReduction(ReductionSettings settings, bool owes, Func<bool, BucketReduction> make) : IBucketReduction
{
    // What is owed is found while the rank is set up: the reduction that pays it must be there then.
    private BucketReduction _current = make(!owes);
    private bool _isExact = !owes;

    /// <summary>Most bytes that sums under way have taken.</summary>
    internal long PeakSumBytes => _current.PeakSumBytes;

    /// <inheritdoc/>
    public void AddLeaf(int leaf, StepKey step) => At(step).AddLeaf(leaf, step);

    /// <inheritdoc/>
    public void Contribute(StepKey step) => At(step).Contribute(step);

    /// <inheritdoc/>
    public void Proceed(StepKey step) => _current.Proceed(step);

    /// <inheritdoc/>
    public long Reduce(StepKey step, Action beforeWaiting) => _current.Reduce(step, beforeWaiting);

    /// <inheritdoc/>
    public long Finish(StepKey step) => _current.Finish(step);

    /// <inheritdoc/>
    public void Dispose() => _current.Dispose();

    // By what is written down alone: what a rank holds may differ from what its partner does.
    private BucketReduction At(StepKey step)
    {
        var isExact = settings.Contributions.Instead?.Invoke(step.Step) is null && settings.Answers.Instead?.Invoke(step.Step) is null;
        if (isExact == _isExact) return _current;
        _current.Dispose();
        (_current, _isExact) = (make(isExact), isExact);
        return _current;
    }
}
