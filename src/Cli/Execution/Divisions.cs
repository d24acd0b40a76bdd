using Pipeline.Coordinator;
using Pipeline.Schedules;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>How the units of a run may be divided anew while it is under way, with the memory that each rank then needs. Pure.</summary>
/// <param name="plan">What is trained, with the stages that the run began with.</param>
/// <param name="materials">Its settings.</param>
internal sealed class Divisions(TrainingPlan plan, RunMaterials materials)
{
    /// <summary>By rank, the memory that it needs, in bytes.</summary>
    /// <param name="unitCounts">Units of each stage.</param>
    /// <param name="rankCount">Ranks of all replicas.</param>
    internal IReadOnlyList<long> BytesOf(IReadOnlyList<int> unitCounts, int rankCount) => MemoryEstimate.Of(
        plan, RunLayout.For(PlanOver(rankCount / plan.ReplicaCount) with { UnitCounts = unitCounts }), materials.TokensPerMicroBatch).RankBytes;

    /// <summary>By what ranks were measured to need; see <see cref="Repartition"/>.</summary>
    internal UnitDivision? Measured(IReadOnlyList<int> unitCounts, IReadOnlyList<double> rankSeconds)
    {
        var present = PlanOver(rankSeconds.Count / plan.ReplicaCount);
        return PipelineRun.Coordinated(present, RunLayout.For(present), stages: null).Repartition?.Invoke(unitCounts, rankSeconds) is { } division
            ? division with { RankBytes = BytesOf(division.UnitCounts, rankSeconds.Count) }
            : null;
    }

    /// <summary>Over so many ranks of each replica: balanced by cost, then by memory, which may fit where the other does not.</summary>
    internal IEnumerable<UnitDivision> Over(int rankCount)
    {
        TrainingPlan fewer;
        RunLayout layout;
        try
        {
            fewer = PlanOver(rankCount) with { UnitCounts = null };
            layout = RunLayout.For(fewer);
        }
        catch (ScheduleException)
        {
            // A schedule from a file is for one number of ranks.
            return [];
        }

        double[] bytes = [.. plan.Units.Select(unit => (16.0 * unit.Parameters.Sum(spec => spec.ElementCount)) + (4.0 * unit.KeptElementsPerToken * materials.TokensPerMicroBatch))];
        IReadOnlyList<int> even = [.. Partitioner.Partition(bytes, layout.UnitCounts.Count).Select(range => range.Count)];
        return [.. new[] { layout.UnitCounts, even }.Select(counts => new UnitDivision(
            counts, ScheduleText.Format(RunLayout.For(fewer with { UnitCounts = counts }).Schedule), RankBytes: BytesOf(counts, rankCount * plan.ReplicaCount)))];
    }

    private TrainingPlan PlanOver(int rankCount) => rankCount == plan.StageCount
        ? plan
        : plan with { StageCount = rankCount, UnitCounts = null, ScheduleText = ScheduleText.Format(ScheduleChoice.For(materials.Settings.Step with { StageCount = rankCount, Partition = null })) };
}
