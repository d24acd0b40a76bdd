using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>What follows when the measured times of the ranks ask for another division of the units.</summary>
public enum RebalanceKind
{
    /// <summary>Nothing, unless an operator asks.</summary>
    None,

    /// <summary>It is said, once for each division.</summary>
    Propose,

    /// <summary>It is done at a step's end.</summary>
    Auto,
}

/// <summary>When a run looks at the times of its ranks, and what follows. A value.</summary>
/// <param name="Kind">What follows.</param>
/// <param name="Every">Steps of a window; two windows in a row must ask for the same division.</param>
/// <param name="LeastGain">Share of the slowest rank's time that the division must save.</param>
public sealed record RebalancePolicy(RebalanceKind Kind, int Every, double LeastGain = 0.05)
{
    /// <summary>Only on an operator's word.</summary>
    public static RebalancePolicy None { get; } = new(RebalanceKind.None, 16);
}

/// <summary>
/// Watches what the ranks need in a step, and when to hold that against what they were meant to need, which whoever divides the units knows. It asks for a division only
/// where the medians of two windows in a row give the same one, so that a burst of other work on a machine moves nothing. Pure.
/// </summary>
/// <param name="policy">When.</param>
/// <param name="rankCount">Ranks that hold units, at first; those behind them do not count.</param>
internal sealed class RebalanceWatch(RebalancePolicy policy, int rankCount)
{
    private Queue<double>[] _seconds = Queues(rankCount);
    private IReadOnlyList<int> _former = [];
    private readonly HashSet<string> _asked = [];
    private int _inWindow;

    /// <summary>What each rank computes in a step, the median of the newest; 0 while nothing was measured.</summary>
    internal IReadOnlyList<double> Seconds => [.. _seconds.Select(newest => newest.Count == 0 ? 0 : newest.Order().ElementAt(newest.Count / 2))];

    /// <summary>A step of all ranks.</summary>
    internal void Enter(IReadOnlyList<StepCompleted> reports)
    {
        foreach (var report in reports.Where(report => report.Rank < _seconds.Length))
        {
            var newest = _seconds[report.Rank];
            newest.Enqueue(report.Timing.BusySeconds);
            if (newest.Count > policy.Every) newest.Dequeue();
        }

        _inWindow++;
    }

    /// <summary>The division to propose or to make now; null for none.</summary>
    /// <param name="unitCounts">Units of each stage so far.</param>
    /// <param name="divide">Divides them by the times of the ranks.</param>
    internal UnitDivision? Consider(IReadOnlyList<int> unitCounts, Func<IReadOnlyList<double>, UnitDivision?> divide)
    {
        if (policy.Kind is RebalanceKind.None || _inWindow < policy.Every) return null;
        _inWindow = 0;
        var wanted = divide(Seconds) is { } division && division.Gain >= policy.LeastGain && !division.UnitCounts.SequenceEqual(unitCounts) ? division : null;
        var isAgreed = wanted is not null && _former.SequenceEqual(wanted.UnitCounts);
        _former = wanted?.UnitCounts ?? [];
        // Each division once, also the one that is left: estimates that are wrong in both would otherwise have units go back and forth for ever.
        _asked.Add(string.Join(',', unitCounts));
        return isAgreed && _asked.Add(string.Join(',', _former)) ? wanted : null;
    }

    /// <summary>Ranks hold other units, or are elsewhere: what was measured says nothing of them.</summary>
    internal void Restart() => Restart(_seconds.Length);

    /// <summary>There are so many ranks from now on.</summary>
    internal void Restart(int count)
    {
        _seconds = Queues(count);
        (_former, _inWindow) = ([], 0);
    }

    private static Queue<double>[] Queues(int count) => [.. Enumerable.Range(0, count).Select(_ => new Queue<double>())];
}
