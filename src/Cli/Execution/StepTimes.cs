using Pipeline.Coordinator;

namespace Pipeline.Cli.Execution;

/// <summary>Collects how long the steps of a run took; the first ones, in which caches warm up, are left out of the median.</summary>
internal sealed class StepTimes : IRunObserver
{
    private const int WarmUpStepCount = 2;

    private readonly List<double> _seconds = [];

    /// <summary>Steps that count.</summary>
    public int Count => Math.Max(0, _seconds.Count - WarmUpStepCount);

    /// <summary>The median duration in seconds; null where no step counts.</summary>
    public double? Median
    {
        get
        {
            if (Count == 0) return null;
            var sorted = _seconds.Skip(WarmUpStepCount).Order().ToArray();
            return sorted[sorted.Length / 2];
        }
    }

    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        if (notice is RunNotice.StepCommitted { Step: var step }) _seconds.Add(step.Seconds);
    }
}
