using System.Globalization;
using Pipeline.Coordinator;

namespace Pipeline.Operator;

/// <summary>
/// Signs that something is wrong with a run, read from what it tells. Each sign is given once, and again only after it was gone. No clock and
/// no file of its own: what it needs of them it is told. Not thread-safe.
/// </summary>
/// <param name="settings">From when on.</param>
public sealed class RunSigns(WatchdogSettings settings)
{
    private const int LeastSteps = 20;
    private const int WindowCount = 100;
    private const int PaceCount = 10;
    private readonly Queue<StepSummary> _window = [];
    private readonly HashSet<string> _given = new(StringComparer.Ordinal);
    private TimeSpan _lastStep;
    private long _step;
    private bool _isPaused;

    /// <summary>Signs in a notice.</summary>
    /// <param name="notice">What the run tells.</param>
    /// <param name="now">When, on any clock that only advances.</param>
    public IReadOnlyList<RunNotice.Warned> Read(RunNotice notice, TimeSpan now)
    {
        switch (notice)
        {
            case RunNotice.StepCommitted { Step: var step }:
                return Enter(step, now);
            case RunNotice.Paused or RunNotice.Ended:
                _isPaused = true;
                return [];
            case RunNotice.Resumed:
                (_isPaused, _lastStep) = (false, now);
                return [];
            default:
                return [];
        }
    }

    /// <summary>Signs in the passing of time and of space.</summary>
    public IReadOnlyList<RunNotice.Warned> Look(TimeSpan now, long? freeBytes)
    {
        List<RunNotice.Warned> signs = [];
        var patience = TimeSpan.FromSeconds(Math.Max(settings.StallSeconds, 10 * Median(_window.Select(step => step.Seconds))));
        Sign(signs, "stalled", !_isPaused && _step > 0 && now - _lastStep > patience, () => Invariant($"No step was committed for {(now - _lastStep).TotalSeconds:0} s. `status` and `stages` say who is waited for."));
        Sign(signs, "disk-nearly-full", freeBytes < settings.LeastFreeBytes, () => $"{freeBytes >> 20} MiB are left under the run directory. Remove something: without space no checkpoint can be saved.");
        return signs;
    }

    private List<RunNotice.Warned> Enter(StepSummary step, TimeSpan now)
    {
        (_lastStep, _step) = (now, step.Step);
        List<RunNotice.Warned> signs = [];
        if (_window.Count >= LeastSteps)
        {
            var (middle, spread) = Spread(_window.Select(one => one.Loss));
            Sign(signs, "loss-spike", step.Loss > middle + settings.LossSpike * spread, () => Invariant($"The loss of step {step.Step} is {step.Loss:F4}; the median of the {_window.Count} before is {middle:F4}, their spread {spread:F4}."));
        }

        _window.Enqueue(step);
        if (_window.Count > WindowCount) _window.Dequeue();
        if (_window.Count < LeastSteps + PaceCount) return signs;
        var (before, recent) = (Median(_window.SkipLast(PaceCount).Select(one => one.Seconds)), Median(_window.TakeLast(PaceCount).Select(one => one.Seconds)));
        Sign(signs, "throughput-fell", before > 0 && recent > settings.SlowdownFactor * before, () => Invariant($"A step takes {recent:F3} s; it used to take {before:F3} s. `explain` says where the time goes."));
        var shares = RankShares.Of([.. _window.TakeLast(Explanation.StepCount)]);
        var slow = Explanation.Stragglers(shares);
        foreach (var share in shares)
        {
            Sign(signs, "straggler", slow.Contains(share), () => Invariant($"Rank {share.Rank} computes {share.Busy:P0} of the time, the mean of all is {shares.Average(one => one.Busy):P0}: the others wait for it. `rebalance` may help."), $"{share.Rank}");
        }

        return signs;
    }

    private void Sign(List<RunNotice.Warned> signs, string kind, bool isSo, Func<string> sentence, string about = "")
    {
        if (!isSo) _given.Remove(kind + about);
        else if (_given.Add(kind + about)) signs.Add(new RunNotice.Warned(kind, _step, sentence()));
    }

    // The spread is the median distance from the median, which a few wild values do not move; never quite zero.
    private static (double Middle, double Spread) Spread(IEnumerable<double> values)
    {
        double[] finite = [.. values.Where(double.IsFinite)];
        var middle = Median(finite);
        return (middle, Math.Max(Median(finite.Select(value => Math.Abs(value - middle))), 1e-3 * Math.Abs(middle)));
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? 0 : sorted[sorted.Length / 2];
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
