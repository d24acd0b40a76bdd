using System.Globalization;
using Pipeline.Coordinator;

namespace Pipeline.Cli.Execution;

/// <summary>Collects how long the steps of a run took; the first ones, in which caches warm up, are left out of the median.</summary>
internal sealed class StepTimes : IRunObserver
{
    /// <summary>Steps that do not count.</summary>
    internal const int WarmUpStepCount = 2;

    private readonly List<double> _seconds = [];
    private readonly List<(double ExposedSeconds, long ExchangedBytes)> _exchanges = [];

    /// <summary>Whether there was any step, also one that does not count.</summary>
    public bool IsAny => _seconds.Count > 0;

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

    /// <summary>What the replicas of a rank sent each other and waited for, in a sentence; null where nothing was exchanged.</summary>
    public string? Exchange
    {
        get
        {
            var counted = _exchanges.Skip(WarmUpStepCount).Where(step => step.ExchangedBytes > 0).ToArray();
            if (counted.Length == 0 || Median is not { } median) return null;
            var exposed = counted.Select(step => step.ExposedSeconds).Order().ElementAt(counted.Length / 2);
            return string.Create(CultureInfo.InvariantCulture,
                $"replicas   each rank sends {counted.Average(step => step.ExchangedBytes) / (1 << 20):0.00} MiB a step to other replicas and waits {exposed * 1e3:0.0} ms of {median * 1e3:0.0} ms for theirs (medians)");
        }
    }

    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        if (notice is RunNotice.StepCommitted { Step: var step }) Add(step);
    }

    private void Add(StepSummary step)
    {
        _seconds.Add(step.Seconds);
        _exchanges.Add((step.Ranks.Select(rank => rank.Timing.ExposedSeconds).DefaultIfEmpty().Average(), (long)step.Ranks.Select(rank => (double)rank.Timing.ExchangedBytes).DefaultIfEmpty().Average()));
    }
}
