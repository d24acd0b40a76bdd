using Pipeline.Protocol;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>
/// How a rank learns what a step amounts to: the rank of stage 0 adds up the stages' contributions and tells the others. Called by the
/// compute thread only.
/// </summary>
internal sealed class TotalsExchange(RankPlan plan, StageInbox inbox, IStageLinks links, StepTrace trace)
{
    /// <summary>What has to come before the totals of a step are known.</summary>
    internal AwaitedTotals Of(StepKey step) => new(step, plan.MakesTotals ? plan.Mesh.ContributorCount : null);

    /// <summary>Whether the totals of a step can be had without waiting.</summary>
    internal bool AreKnown(StepKey step) => inbox.HasTotals(Of(step));

    /// <summary>Sends a stage's contribution.</summary>
    internal void Send(SquaredNorms contribution) => links.Send(plan.TotalsRank, contribution with { Span = trace.Origin(contribution.Step) });

    /// <summary>Waits for a step's totals, or makes and sends them; with the time at which the last thing needed for them came.</summary>
    internal (StepOutcome Outcome, long Ready) Take(StepKey step)
    {
        if (plan.MakesTotals) return Make(step);
        var arrived = inbox.TakeTotals(step);
        trace.Received(step, arrived.Value.Span);
        return (arrived.Value.Outcome, arrived.Timestamp);
    }

    private (StepOutcome Outcome, long Ready) Make(StepKey step)
    {
        var contributions = Enumerable.Range(0, plan.Mesh.ContributorCount).Select(contributor => inbox.TakeSquares(step, contributor)).ToArray();
        foreach (var contribution in contributions) trace.Received(step, contribution.Value.Span);
        // What others were told by a lost predecessor is said again, also where it made the step the last.
        var outcome = contributions.Select(contribution => contribution.Value.Known).FirstOrDefault(known => known is not null)
            ?? StepTotalsBuilder.Of([.. contributions.Select(contribution => contribution.Value)], [.. plan.Mesh.Replicas.Select(replica => replica.StageCount)], plan.StepsLocally ? plan.Place.Count : 1) with { IsLast = inbox.IsEndWanted };
        StepTotals totals = new(step, outcome, trace.Origin(step));
        for (var rank = 0; rank < plan.Assignment.Layout.Ranks.Count; rank++)
        {
            if (rank != plan.TotalsRank) links.Send(rank, totals);
        }

        return (outcome, contributions.Max(contribution => contribution.Timestamp));
    }
}
