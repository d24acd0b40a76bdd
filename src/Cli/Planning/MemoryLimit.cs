using System.Collections.Immutable;
using System.Globalization;
using Pipeline.Cli.Configuration;
using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Cli.Planning;

/// <summary>Holds schedules against the memory of the ranks that are to run them, before anything is allocated: those that are generated and those from a file.</summary>
internal static class MemoryLimit
{
    /// <summary>Refuses schedules with which a rank would hold more than it has.</summary>
    /// <param name="settings">Micro-batches, and what a rank may take where that is set.</param>
    /// <param name="replicas">Units of each stage, and the schedule, of each replica.</param>
    /// <param name="profile">What units keep.</param>
    /// <param name="recompute">What they drop.</param>
    /// <param name="areHere">
    /// Whether all ranks lie on this machine. They share its memory then: only where all together need more than there is, each is held to its even share.
    /// </param>
    /// <exception cref="ScheduleException">Names the rank and the action, and shows the table around it.</exception>
    public static void Require(
        RunSettings settings, IReadOnlyList<(IReadOnlyList<int> UnitCounts, Schedule Schedule)> replicas, ModelProfile profile, UnitRecompute recompute, bool areHere)
    {
        var units = profile.For(settings.Step.MicroBatchSize);
        var caps = replicas.Select(replica => (replica.Schedule, Memory: MemoryOf(replica.UnitCounts, replica.Schedule))).ToArray();
        if (Available() is not { } bytes) return;
        foreach (var (schedule, memory) in caps.DistinctBy(cap => cap.Schedule, ReferenceEqualityComparer.Instance))
        {
            var limits = ScheduleLimits.PromisedBy(schedule) with { Memory = new MemoryCap(memory, [.. Enumerable.Repeat(bytes, schedule.RankCount)]) };
            if (ScheduleValidator.Fault(schedule, limits) is { } fault)
                throw new ScheduleException(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{fault}Costs are {profile.Source}. Make micro-batches smaller, recompute more ({SettingsSchema.Recompute}), or take more stages; {SettingsSchema.RankMemory} says what a rank may take, should that be more."));
        }

        ImmutableArray<StageMemory> MemoryOf(IReadOnlyList<int> unitCounts, Schedule schedule)
        {
            // As the planner has it: a step that may be taken back needs its weights twice, and replicas wait.
            var twice = settings.ReplicasToReckonWith == 1 && new BarrierChoice(settings.Step.Barrier, schedule).MayRunAhead;
            var held = twice ? [.. units.Select(unit => unit with { StateBytes = unit.StateBytes + unit.GradientBytes })] : units;
            return StageProfile.Of(held, Partitioner.FromCounts(units.Length, unitCounts), recompute: recompute).Memory;
        }

        long? Available()
        {
            if (settings.Step.RankMemory is { } given) return (long)given;
            if (!areHere) return null;
            // Peaks need not coincide: refused is only what goes beyond all that there is.
            var machine = (double)GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
            var needed = caps.Sum(cap => MemoryUse.Of(cap.Schedule, cap.Memory).Sum(rank => rank.Total));
            return needed <= machine ? null : (long)(machine / caps.Sum(cap => cap.Schedule.RankCount));
        }
    }
}
