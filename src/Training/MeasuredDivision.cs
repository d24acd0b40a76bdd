using Pipeline.Schedules;

namespace Pipeline.Training;

/// <summary>
/// Divides the units of a running plan by what its ranks were measured to need: the estimated costs of a rank's units are scaled so that they
/// add up to its time, then cut anew. Pure.
/// </summary>
internal static class MeasuredDivision
{
    internal static (IReadOnlyList<int> UnitCounts, string Schedule)? For(TrainingPlan plan, RunLayout layout, IReadOnlyList<int> unitCounts, IReadOnlyList<double> rankSeconds)
    {
        if (rankSeconds.Any(seconds => seconds <= 0)) return null;
        // All replicas hold the same stages: what a rank needs is what its likes need on average.
        var ranksPerReplica = layout.Schedule.RankCount;
        rankSeconds = [.. Enumerable.Range(0, ranksPerReplica).Select(rank => rankSeconds.Where((_, index) => index % ranksPerReplica == rank).Average())];
        var ranges = Partitioner.FromCounts(plan.Units.Count, unitCounts);
        var rankOfStage = layout.Schedule.RankOfStage;
        var estimated = plan.Units.Select(unit => Math.Max(unit.Cost, double.Epsilon)).ToArray();
        var rankCosts = rankSeconds.Select((_, rank) => ranges.Index().Where(stage => rankOfStage[stage.Index] == rank).Sum(stage => estimated.Skip(stage.Item.Start).Take(stage.Item.Count).Sum())).ToArray();
        var measured = ranges.Index().SelectMany(stage => estimated.Skip(stage.Item.Start).Take(stage.Item.Count)
            .Select(cost => cost * rankSeconds[rankOfStage[stage.Index]] / rankCosts[rankOfStage[stage.Index]]));
        IReadOnlyList<int> counts = [.. Partitioner.Partition([.. measured], unitCounts.Count).Select(range => range.Count)];
        return (counts, ScheduleText.Format(RunLayout.For(plan with { UnitCounts = counts }).Schedule));
    }
}
