using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>A rank whose thread has not stirred for longer than anything takes.</summary>
/// <param name="Rank">Rank.</param>
/// <param name="Node">Where it lies.</param>
/// <param name="Step">The step after which it hangs.</param>
/// <param name="Sentence">What it hangs at, for people.</param>
internal sealed record HungRank(int Rank, NodeId Node, long Step, string Sentence);

/// <summary>A step at which a rank hung, so that its node was given up.</summary>
/// <param name="Step">The step after which it hung.</param>
/// <param name="Units">Places in the model of the units that it held: what is left of it where ranks are numbered anew.</param>
public sealed record KnownHang(long Step, IReadOnlyList<int> Units);

/// <summary>
/// Tells a rank that computes for long from one that never comes back, such as out of a native library: by the time for which its thread has neither begun nor
/// ended an action, nor waited, while the whole run stood still. A machine may be at fault, so that the rank is given another once; where any of its units hang again at the
/// same step, under whatever number and whoever leads, the step is. Pure.
/// </summary>
/// <param name="limit">Longer than any action; zero for no limit.</param>
/// <param name="known">What a predecessor has seen; null for nothing.</param>
internal sealed class HangWatch(TimeSpan limit, IReadOnlyList<KnownHang>? known = null)
{
    // An action is a part of a step, and of a step's time it is known what is common.
    private const double MediansOfAStep = 20;
    private readonly List<KnownHang> _known = [.. known ?? []];

    /// <summary>What has hung so far: a successor must not begin to count anew.</summary>
    internal IReadOnlyList<KnownHang> Known => [.. _known];

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

    /// <summary>Notes that a rank hangs; false if one that held any of its units did so before at the same step, in as many cases as there are replicas that hold them.</summary>
    /// <param name="hung">The rank.</param>
    /// <param name="units">Places in the model of its units; of one that adds up beside the replicas those for which it does.</param>
    /// <param name="replicaCount">Replicas: each has ranks with the same units, and what ails one machine may ail another's at the same step.</param>
    internal bool IsFirst(HungRank hung, IReadOnlyList<int> units, int replicaCount = 1)
    {
        if (_known.Count(before => before.Step == hung.Step && before.Units.Intersect(units).Any()) >= replicaCount) return false;
        _known.Add(new KnownHang(hung.Step, units));
        return true;
    }
}
