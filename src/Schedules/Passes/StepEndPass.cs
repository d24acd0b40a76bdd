namespace Pipeline.Schedules;

/// <summary>
/// Adds what ends a training step: on each rank first the tied sums of its tied stages, then the norms of all its stages,
/// then their optimizers. Tied sums come first since the norm is that of the summed gradient; optimizers come last since
/// each waits for the norms of all stages.
/// </summary>
public static class StepEndPass
{
    /// <param name="schedule">A training schedule without step-level actions.</param>
    /// <param name="tiedStages">Stages that hold a parameter which another stage holds too; empty without tied parameters.</param>
    /// <exception cref="ScheduleException">A tied stage does not exist, or a single stage is called tied.</exception>
    public static Schedule Apply(Schedule schedule, IEnumerable<int> tiedStages)
    {
        if (schedule.Mode is not ScheduleMode.Train || schedule.EndsStep)
            throw new InvalidOperationException($"schedule {schedule.Name}: only a training schedule without an end gets one");
        var declared = schedule.DeclareStepEnd([.. tiedStages]);
        if (declared.TiedStages.Length == 1)
            throw new ScheduleException($"Stage {declared.TiedStages[0]} is called tied, but no other stage is: a tied parameter lies on at least two stages.");
        return declared.WithActions([.. declared.Actions.Select((row, rank) => row.AddRange(EndOf(declared, rank)))]);
    }

    private static IEnumerable<StageAction> EndOf(Schedule schedule, int rank)
    {
        var stages = schedule.StagesOf(rank);
        foreach (var stage in stages.Where(stage => schedule.TiedStages.Contains(stage)))
            yield return StageAction.StepLevel(stage, ActionKind.TiedSum);
        foreach (var stage in stages)
            yield return StageAction.StepLevel(stage, ActionKind.Norm);
        foreach (var stage in stages)
            yield return StageAction.StepLevel(stage, ActionKind.Optimizer);
    }
}
