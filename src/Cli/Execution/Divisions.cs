using Pipeline.Coordinator;
using Pipeline.Schedules;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>How the units of a run may be divided anew while it is under way, with the memory that each rank then needs. Pure.</summary>
/// <param name="plan">What is trained, with the stages and replicas that the run began with.</param>
/// <param name="materials">Its settings.</param>
internal sealed class Divisions(TrainingPlan plan, RunMaterials materials)
{
    private readonly int _stagesPerRank = RunLayout.For(plan).UnitCounts.Count / plan.StageCount;

    /// <summary>Ranks of a replica with these units of each stage: a rank has as many stages as at the beginning.</summary>
    internal int RanksOf(IReadOnlyList<int> unitCounts) => unitCounts.Count / _stagesPerRank;

    /// <summary>By rank of all replicas, the memory that it needs, in bytes.</summary>
    /// <param name="unitCounts">Units of each stage.</param>
    /// <param name="replicaCount">Replicas.</param>
    internal IReadOnlyList<long> BytesOf(IReadOnlyList<int> unitCounts, int replicaCount) =>
        RunLayout.For(PlanOver(RanksOf(unitCounts)), unitCounts, replicaCount) is { } layout ? BytesOf(layout) : [];

    /// <summary>By what ranks were measured to need; see <see cref="Repartition"/>.</summary>
    internal UnitDivision? Measured(IReadOnlyList<int> unitCounts, IReadOnlyList<double> rankSeconds, IReadOnlyList<long> rankRoom)
    {
        var present = PlanOver(RanksOf(unitCounts));
        return PipelineRun.Coordinated(present, RunLayout.For(present), stages: null, materials.TokensPerMicroBatch).Repartition?.Invoke(unitCounts, rankSeconds, rankRoom) is { } division
            ? division with { RankBytes = BytesOf(division.UnitCounts, division.ReplicaCount ?? plan.ReplicaCount) }
            : null;
    }

    /// <summary>For another number of replicas that hold these units of each stage; null where there is no schedule for it.</summary>
    internal UnitDivision? OfReplicas(int replicaCount, IReadOnlyList<int> unitCounts)
    {
        try
        {
            return RunLayout.For(PlanOver(RanksOf(unitCounts)), unitCounts, replicaCount) is { } layout ? layout.Division() with { RankBytes = BytesOf(layout) } : null;
        }
        catch (ScheduleException)
        {
            // Not every number of ranks has the schedule, such as with a credit of memory.
            return null;
        }
    }

    /// <summary>Over so many ranks of each replica: balanced by cost, then by memory, which may fit where the other does not.</summary>
    internal IEnumerable<UnitDivision> Over(int rankCount, int replicaCount)
    {
        // A schedule from a file is for one number of ranks.
        if (!ScheduleChoice.IsGenerated(materials.Settings.Step)) yield break;
        double[] costs = [.. plan.Units.Select(unit => unit.Cost)];
        double[] bytes = [.. plan.Units.Select(unit => (16.0 * unit.Parameters.Sum(spec => spec.ElementCount)) + (4.0 * unit.KeptElementsPerToken * materials.TokensPerMicroBatch))];
        foreach (var weights in new[] { costs, bytes })
        {
            IReadOnlyList<int> counts = [.. Partitioner.Partition(weights, rankCount * _stagesPerRank).Select(range => range.Count)];
            if (OfReplicas(replicaCount, counts) is { } division) yield return division;
        }
    }

    private IReadOnlyList<long> BytesOf(RunLayout layout) =>
        MemoryEstimate.Of(plan with { ReplicaCount = layout.ReplicaCount }, layout, materials.TokensPerMicroBatch, isSpread: true).RankBytes;

    private TrainingPlan PlanOver(int rankCount)
    {
        if (rankCount == plan.StageCount) return plan;
        var step = materials.Settings.Step with { StageCount = rankCount, Partition = null };
        return plan with
        {
            StageCount = rankCount,
            UnitCounts = null,
            ScheduleText = ScheduleText.Format(ScheduleChoice.For(step)),
            ScheduleOf = ScheduleChoice.IsGenerated(step) ? share => ScheduleChoice.For(step with { MicroBatchCount = share, ReplicaCount = 1 }) : null,
        };
    }
}
