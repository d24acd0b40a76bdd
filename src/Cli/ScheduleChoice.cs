using Pipeline.Cli.Configuration;
using Pipeline.Schedules;

namespace Pipeline.Cli;

/// <summary>The schedule that the settings name: generated, or read from a file and held against the settings.</summary>
public static class ScheduleChoice
{
    /// <summary>The validated schedule of one training step, without the actions that end it.</summary>
    /// <exception cref="ScheduleException">There is no such schedule, the file cannot be read, or it was made for other sizes.</exception>
    public static Schedule For(StepSettings step)
    {
        var schedule = ScheduleCatalog.Find(step.Schedule) is { } generator ? Fitting(generator, step).Generate(ShapeOf(step, generator)) : FromFile(step);
        // Which stages have units that recompute is known once units are on them: the layout leaves the others' out.
        return step.Recompute.IsNone ? schedule : RecomputePass.Apply(schedule, Enumerable.Range(0, schedule.StageCount));
    }

    /// <summary>Whether it can be made for other sizes.</summary>
    public static bool IsGenerated(StepSettings step) => ScheduleCatalog.Find(step.Schedule) is not null;

    private static IScheduleGenerator Fitting(IScheduleGenerator generator, StepSettings step) =>
        generator is Greedy && step.OrderCosts is { } costs ? new Greedy(costs) : generator;

    private static ScheduleShape ShapeOf(StepSettings step, IScheduleGenerator generator) =>
        new(step.StageCount, step.MicroBatchesPerReplica, step.VirtualStages ?? generator.StagesPerRank.Default) { MemoryCredit = step.MemoryCredit };

    private static Schedule FromFile(StepSettings step)
    {
        var schedule = Read(step.Schedule);
        if (step.VirtualStages is { } perRank && perRank * schedule.RankCount != schedule.StageCount)
        {
            throw new ScheduleException($"{step.Schedule} has {schedule.StageCount} stages on {schedule.RankCount} ranks, but the settings ask for {perRank} a rank. "
                + "Set pipeline.schedule.virtual-stages to null, or name another schedule.");
        }

        if (schedule.RankCount != step.StageCount || schedule.MicroBatchCount != step.MicroBatchesPerReplica)
        {
            throw new ScheduleException($"{step.Schedule} is a schedule of {schedule.RankCount} ranks and {schedule.MicroBatchCount} micro-batches, but the settings "
                + $"ask for {step.StageCount} and {step.MicroBatchesPerReplica}. Set --stages {schedule.RankCount} --micro-batches {schedule.MicroBatchCount}, or name another schedule.");
        }

        ScheduleValidator.ThrowIfInvalid(schedule);
        return schedule;
    }

    private static Schedule Read(string path)
    {
        try
        {
            var text = File.ReadAllText(path);
            return text.StartsWith('#') ? ScheduleText.Parse(text) : FieldCsv.Parse(text, Path.GetFileNameWithoutExtension(path));
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new ScheduleException($"The schedule {path} cannot be read: {unreadable.Message} Expected one of {ScheduleCatalog.Names}, or the path of a .csv file.", unreadable);
        }
        catch (ScheduleException malformed)
        {
            throw new ScheduleException($"{path}: {malformed.Message}", malformed);
        }
    }
}
