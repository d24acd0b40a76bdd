using Pipeline.Coordinator;
using Pipeline.Schedules;

namespace Pipeline.Training;

/// <summary>
/// Divides the units of a running plan by what its ranks were measured to need: the estimated costs of a rank's units are scaled so that they
/// add up to its time, then cut anew. Where a plan has said what its ranks should need and they do, nothing is divided anew. Pure.
/// </summary>
internal static class MeasuredDivision
{
    internal static UnitDivision? For(TrainingPlan plan, RunLayout layout, IReadOnlyList<int> unitCounts, IReadOnlyList<double> rankSeconds)
    {
        if (rankSeconds.Any(seconds => seconds <= 0)) return null;
        // All replicas hold the same stages: what a rank needs is what its likes need on average.
        var ranksPerReplica = layout.Schedule.RankCount;
        var replicaCount = rankSeconds.Count / ranksPerReplica;
        rankSeconds = [.. Enumerable.Range(0, ranksPerReplica).Select(rank => rankSeconds.Where((_, index) => index % ranksPerReplica == rank).Average())];
        if (plan.Planned is { } planned && planned.AreMet(unitCounts, rankSeconds)) return null;
        var rankOfStage = layout.Schedule.RankOfStage;
        double[] estimated = [.. plan.Units.Select(unit => Math.Max(unit.Cost, double.Epsilon))];
        var ranks = RankOfUnit(unitCounts);
        var costOfRank = rankSeconds.Select((_, rank) => estimated.Where((_, unit) => ranks[unit] == rank).Sum()).ToArray();
        double[] measured = [.. estimated.Select((cost, unit) => cost * rankSeconds[ranks[unit]] / costOfRank[ranks[unit]])];
        IReadOnlyList<int> counts = [.. Partitioner.Partition(measured, unitCounts.Count).Select(range => range.Count)];
        var then = RankOfUnit(counts);
        var slowest = rankSeconds.Select((_, rank) => measured.Where((_, unit) => then[unit] == rank).Sum()).Max();
        return RunLayout.For(plan, counts, replicaCount)?.Division(1 - (slowest / rankSeconds.Max()));

        int[] RankOfUnit(IReadOnlyList<int> stages) => [.. stages.SelectMany((count, stage) => Enumerable.Repeat(rankOfStage[stage], count))];
    }
}
