using Pipeline.Model.Training;
using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Training;

/// <summary>How a plan is spread: which units lie on which stage, and in which order each rank works. Pure; <see cref="For"/> checks it.</summary>
/// <param name="UnitCounts">Units of each stage, in model order.</param>
/// <param name="Schedule">The actions of one replica's step with what ends the step, validated.</param>
/// <param name="ReplicaCount">Replicas of the pipeline; each runs the schedule on its share of the step's micro-batches.</param>
public sealed record RunLayout(IReadOnlyList<int> UnitCounts, Schedule Schedule, int ReplicaCount = 1)
{
    /// <summary>Ranks of all replicas: replica by replica.</summary>
    public int RankCount => Schedule.RankCount * ReplicaCount;

    /// <summary>The layout of a plan.</summary>
    /// <exception cref="ScheduleException">More stages than units, an unknown or unsound schedule, or one of another shape.</exception>
    public static RunLayout For(TrainingPlan plan)
    {
        var schedule = plan.ScheduleText is { } text ? Given(text, plan) : ScheduleCatalog.Generate(plan.Schedule, plan.StageCount, ShareOf(plan));
        var partition = plan.UnitCounts is { } counts
            ? Partitioner.FromCounts(plan.Units.Count, counts)
            : Partitioner.Partition([.. plan.Units.Select(unit => unit.Cost)], schedule.StageCount);
        if (partition.Length != schedule.StageCount)
            throw new ScheduleException($"The partition has {partition.Length} stages, the schedule {schedule.StageCount}. Make them agree.");
        IReadOnlyList<int> unitCounts = [.. partition.Select(range => range.Count)];
        if (!schedule.EndsStep) schedule = StepEndPass.Apply(schedule, StageTies.TiedStages(plan.Units, unitCounts));
        if (!schedule.Reduces && (plan.ReplicaCount > 1 || plan.Summation == Summation.Invariant)) schedule = ReductionPass.Apply(schedule, plan.SharesOptimizer && plan.ReplicaCount > 1);
        ScheduleValidator.ThrowIfInvalid(schedule);
        return new RunLayout(unitCounts, schedule, plan.ReplicaCount);
    }

    /// <summary>Micro-batches of a step that each replica computes.</summary>
    private static int ShareOf(TrainingPlan plan)
    {
        var (share, rest) = Math.DivRem(plan.Batches.MicroBatchCount, plan.ReplicaCount);
        return rest == 0 ? share : throw new ScheduleException(
            $"{plan.Batches.MicroBatchCount} micro-batches cannot be shared evenly by {plan.ReplicaCount} replicas. Make the micro-batches of a step a multiple of the replicas.");
    }

    private static Schedule Given(string text, TrainingPlan plan)
    {
        var schedule = Schedules.ScheduleText.Parse(text);
        if (schedule.RankCount != plan.StageCount || schedule.MicroBatchCount != ShareOf(plan) || schedule.Mode != ScheduleMode.Train)
        {
            throw new ScheduleException($"The schedule {schedule.Name} is for {schedule.RankCount} ranks and {schedule.MicroBatchCount} micro-batches ({schedule.Mode}); "
                + $"each replica of the run has {plan.StageCount} and {ShareOf(plan)} and trains. Make them agree.");
        }

        return schedule;
    }
}
