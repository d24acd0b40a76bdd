using Pipeline.Protocol;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;

namespace Pipeline.Training;

/// <summary>
/// Replicas with numbers of stages of their own, for nodes that are unequal: each cuts the model into as many as it is said to have, and has a schedule for
/// them. No order of addition depends on it. Pure.
/// </summary>
internal static class UnevenReplicas
{
    /// <summary>The replicas, in their order; those with as many stages are alike.</summary>
    /// <param name="plan">What is trained.</param>
    /// <param name="first">The first replica, whose stages are those of the plan.</param>
    /// <param name="counts">Ranks of each replica.</param>
    /// <param name="end">Adds to a schedule what ends the step of a replica with the given units on its stages, and checks it.</param>
    /// <exception cref="ScheduleException">The numbers do not fit the plan, or a number of stages has no schedule.</exception>
    internal static RunLayout Of(TrainingPlan plan, ReplicaStages first, IReadOnlyList<int> counts, Func<Schedule, IReadOnlyList<int>, Schedule> end)
    {
        if (counts.Count != plan.ReplicaCount || counts.Any(count => count < 1) || counts[0] != plan.StageCount)
        {
            throw new ScheduleException($"Stages of {string.Join(", ", counts)} ranks are named for the run's replicas: expected one number from 1 on for each of the {plan.ReplicaCount}, "
                + $"the first {plan.StageCount}. Make them agree with the numbers of replicas and stages.");
        }

        Dictionary<int, ReplicaStages> known = new() { [counts[0]] = first };
        foreach (var count in counts.Distinct().Where(count => !known.ContainsKey(count))) known.Add(count, Replica(plan, first, count, end));
        if (known.Count > 1 && plan.Reduction.Topology == ReductionTopology.Hierarchical && known.Values.Any(replica => replica.StageCount > replica.RankCount))
        {
            // Whoever passes sums on does it in the order of its stages, which several on a rank would not have in common with other replicas'.
            throw new ScheduleException($"Replicas of {string.Join(", ", counts)} ranks have several stages on a rank, and reduction.topology = hierarchical: with stages of their own they would wait for "
                + "each other. Take one stage a rank, or another topology.");
        }

        return new RunLayout([.. counts.Select(count => known[count])]);
    }

    /// <summary>A replica of so many ranks with so many of the step's micro-batches.</summary>
    /// <exception cref="ScheduleException">There is no schedule for them.</exception>
    internal static ReplicaStages Stages(TrainingPlan plan, int rankCount, int share, Func<Schedule, IReadOnlyList<int>, Schedule> end)
    {
        var schedule = plan.ScheduleFor?.Invoke(rankCount, share) ?? (plan.ScheduleText is null
            ? ScheduleCatalog.Generate(plan.Schedule, rankCount, share)
            : throw new ScheduleException("The run's schedule is known for one number of ranks and micro-batches only."));
        return Cut(plan, schedule, end);
    }

    private static ReplicaStages Replica(TrainingPlan plan, ReplicaStages first, int rankCount, Func<Schedule, IReadOnlyList<int>, Schedule> end)
    {
        var share = first.Schedule.MicroBatchCount;
        var schedule = plan.ScheduleText is null ? ScheduleCatalog.Generate(plan.Schedule, rankCount, share)
            : plan.ScheduleOver?.Invoke(rankCount) ?? throw new ScheduleException(
                $"The schedule {first.Schedule.Name} is known for {first.RankCount} ranks only, and a replica has {rankCount}. Name a schedule that is generated, or give all replicas {first.RankCount}.");
        if (schedule.StageCount > plan.Units.Count)
        {
            throw new ScheduleException($"Cannot split {plan.Units.Count} units into {schedule.StageCount} stages for a replica of {rankCount} ranks: each stage needs at least one unit. "
                + "Lower pipeline.parallelism.stages-per-replica, or add layers.");
        }

        return Cut(plan, schedule, end);
    }

    private static ReplicaStages Cut(TrainingPlan plan, Schedule schedule, Func<Schedule, IReadOnlyList<int>, Schedule> end)
    {
        IReadOnlyList<int> unitCounts = [.. Partitioner.Partition([.. plan.Units.Select(unit => unit.Cost)], schedule.StageCount).Select(range => range.Count)];
        return new ReplicaStages(unitCounts, end(schedule, unitCounts));
    }
}
