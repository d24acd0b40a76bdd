using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>A rank whose thread has not stirred for longer than anything takes.</summary>
/// <param name="Rank">Rank.</param>
/// <param name="Node">Where it lies.</param>
/// <param name="Step">The step after which it hangs.</param>
/// <param name="Sentence">What it hangs at, for people.</param>
internal sealed record HungRank(int Rank, NodeId Node, long Step, string Sentence);

/// <summary>
/// Tells a rank that computes for long from one that never comes back, such as out of a native library: by the time for which its thread has neither begun nor
/// ended an action, nor waited, while the whole run stood still. A machine may be at fault, so that the rank is given another once; where it hangs again at the same step,
/// the step is. Pure.
/// </summary>
/// <param name="limit">Longer than any action; zero for no limit.</param>
internal sealed class HangWatch(TimeSpan limit)
{
    // An action is a part of a step, and of a step's time it is known what is common.
    private const double MediansOfAStep = 20;
    private readonly Dictionary<int, long> _hung = [];

    /// <summary>The rank that has not stirred for longest, if that is too long.</summary>
    /// <param name="reports">What nodes say of their ranks while nothing moves.</param>
    /// <param name="medianSeconds">What a step takes; 0 where that is not known.</param>
    internal HungRank? Of(IEnumerable<NodeProtocol.HostedReport> reports, double medianSeconds)
    {
        if (limit <= TimeSpan.Zero) return null;
        var longest = Math.Max(limit.TotalSeconds, MediansOfAStep * medianSeconds);
        return reports.SelectMany(report => report.Stages.Select(stage => (report.Node, Stage: stage)))
            .Where(pair => pair.Stage.Awaits.Length == 0 && pair.Stage.StillSeconds > longest)
            .OrderByDescending(pair => pair.Stage.StillSeconds)
            .Select(pair => new HungRank(pair.Stage.Rank, pair.Node, pair.Stage.Step, FormattableString.Invariant(
                $"rank {pair.Stage.Rank} {pair.Stage.Doing} after step {pair.Stage.Step} and has not stirred for {pair.Stage.StillSeconds:0} s")))
            .FirstOrDefault();
    }

    /// <summary>Notes that a rank hangs; false if it did so before at the same step.</summary>
    internal bool IsFirst(HungRank hung)
    {
        if (_hung.TryGetValue(hung.Rank, out var step) && step == hung.Step) return false;
        _hung[hung.Rank] = hung.Step;
        return true;
    }
}
