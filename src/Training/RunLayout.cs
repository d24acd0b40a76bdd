using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Training;

/// <summary>How a plan is spread: which units lie on which stage, and in which order each rank works. Pure; <see cref="For"/> checks it.</summary>
/// <param name="UnitCounts">Units of each stage, in model order.</param>
/// <param name="Schedule">The step's actions with what ends the step, validated.</param>
public sealed record RunLayout(IReadOnlyList<int> UnitCounts, Schedule Schedule)
{
    /// <summary>The layout of a plan.</summary>
    /// <exception cref="ScheduleException">More stages than units, an unknown or unsound schedule, or one of another shape.</exception>
    public static RunLayout For(TrainingPlan plan)
    {
        var schedule = plan.ScheduleText is { } text ? Given(text, plan) : ScheduleCatalog.Generate(plan.Schedule, plan.StageCount, plan.Batches.MicroBatchCount);
        var partition = plan.UnitCounts is { } counts
            ? Partitioner.FromCounts(plan.Units.Count, counts)
            : Partitioner.Partition([.. plan.Units.Select(unit => unit.Cost)], schedule.StageCount);
        if (partition.Length != schedule.StageCount)
            throw new ScheduleException($"The partition has {partition.Length} stages, the schedule {schedule.StageCount}. Make them agree.");
        IReadOnlyList<int> unitCounts = [.. partition.Select(range => range.Count)];
        if (!schedule.EndsStep) schedule = StepEndPass.Apply(schedule, StageTies.TiedStages(plan.Units, unitCounts));
        ScheduleValidator.ThrowIfInvalid(schedule);
        return new RunLayout(unitCounts, schedule);
    }

    private static Schedule Given(string text, TrainingPlan plan)
    {
        var schedule = Schedules.ScheduleText.Parse(text);
        if (schedule.RankCount != plan.StageCount || schedule.MicroBatchCount != plan.Batches.MicroBatchCount || schedule.Mode != ScheduleMode.Train)
        {
            throw new ScheduleException($"The schedule {schedule.Name} is for {schedule.RankCount} ranks and {schedule.MicroBatchCount} micro-batches ({schedule.Mode}); "
                + $"the run has {plan.StageCount} and {plan.Batches.MicroBatchCount} and trains. Make them agree.");
        }

        return schedule;
    }
}
