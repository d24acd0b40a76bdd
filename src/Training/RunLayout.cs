using Pipeline.Coordinator;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Training;

/// <summary>How a plan is spread: which units lie on which stage, and in which order each rank works. Pure; <see cref="For(TrainingPlan)"/> checks it.</summary>
/// <param name="Replicas">The replicas of the pipeline, each with its stages and the actions of its share of a step with what ends the step, validated.</param>
public sealed record RunLayout(IReadOnlyList<ReplicaStages> Replicas)
{
    /// <summary>Replicas that are all alike.</summary>
    /// <param name="unitCounts">Units of each stage, in model order.</param>
    /// <param name="schedule">The actions of one replica's step.</param>
    /// <param name="replicaCount">Replicas; each runs the schedule on its share of the step's micro-batches.</param>
    public RunLayout(IReadOnlyList<int> unitCounts, Schedule schedule, int replicaCount = 1)
        : this([.. Enumerable.Repeat(new ReplicaStages(unitCounts, schedule), replicaCount)])
    {
    }

    /// <summary>Units of each stage of the first replica, in model order.</summary>
    public IReadOnlyList<int> UnitCounts => Replicas[0].UnitCounts;

    /// <summary>The actions of the first replica.</summary>
    public Schedule Schedule => Replicas[0].Schedule;

    /// <summary>Number of replicas.</summary>
    public int ReplicaCount => Replicas.Count;

    /// <summary>How ranks are numbered; those that may add up beside the replicas are not counted.</summary>
    public ReplicaMesh Mesh => new(Replicas);

    /// <summary>Ranks of all replicas: replica by replica.</summary>
    public int RankCount => Mesh.ReplicaRankCount;

    /// <summary>Replicas that differ from those before them; null for none.</summary>
    public IReadOnlyList<OtherReplicas>? Others => Replicas.Index().Skip(1).Where(replica => !ReferenceEquals(replica.Item, Replicas[replica.Index - 1]))
        .Select(replica => new OtherReplicas(replica.Index, replica.Item.UnitCounts, ScheduleText.Format(replica.Item.Schedule))).ToArray() is { Length: > 0 } others ? others : null;

    /// <summary>The layout of a plan.</summary>
    /// <exception cref="ScheduleException">More stages than units, an unknown or unsound schedule, or one of another shape.</exception>
    public static RunLayout For(TrainingPlan plan)
    {
        if (plan is { ReducesEachMicroBatch: true, Reduction.Topology: ReductionTopology.Coordinator })
            throw new ScheduleException("Gradients that are freed go straight to their owners, and reducers beside the replicas would wait for them. Take another topology, or keep the gradients.");
        var schedule = plan.ScheduleText is { } text ? Given(text, plan) : ScheduleCatalog.Generate(plan.Schedule, plan.StageCount, ShareOf(plan));
        var partition = plan.UnitCounts is { } counts
            ? Partitioner.FromCounts(plan.Units.Count, counts)
            : Partitioner.Partition([.. plan.Units.Select(unit => unit.Cost)], schedule.StageCount);
        if (partition.Length != schedule.StageCount)
            throw new ScheduleException($"The partition has {partition.Length} stages, the schedule {schedule.StageCount}. Make them agree.");
        IReadOnlyList<int> unitCounts = [.. partition.Select(range => range.Count)];
        var ended = Ended(schedule, plan, unitCounts, plan.ReplicaCount);
        return plan.StagesPerReplica is not { } rankCounts ? new RunLayout(unitCounts, ended, plan.ReplicaCount)
            : UnevenReplicas.Of(plan, new ReplicaStages(unitCounts, ended), rankCounts, (other, units) => Ended(other, plan, units, plan.ReplicaCount));
    }

    /// <summary>
    /// The layout of a plan under way for another number of replicas, which share its micro-batches as evenly as can be; null where the
    /// schedule is not known for such shares, or has other stages there.
    /// </summary>
    /// <param name="plan">The plan.</param>
    /// <param name="unitCounts">Units of each stage, in model order.</param>
    /// <param name="replicaCount">Replicas, at least 1.</param>
    public static RunLayout? For(TrainingPlan plan, IReadOnlyList<int> unitCounts, int replicaCount)
    {
        var (least, rest) = Math.DivRem(plan.Batches.MicroBatchCount, replicaCount);
        if (least == 0 || ScheduleOf(plan, replicaCount) is not { } generate) return null;
        try
        {
            var schedule = Ended(generate(rest > 0 ? least + 1 : least), plan, unitCounts, replicaCount);
            var lesser = rest > 0 ? Ended(generate(least), plan, unitCounts, replicaCount) : null;
            var isSound = schedule.StageCount == unitCounts.Count && (lesser is null || lesser.RankOfStage.SequenceEqual(schedule.RankOfStage));
            if (!isSound) return null;
            var more = new ReplicaStages(unitCounts, schedule);
            var less = lesser is null ? more : new ReplicaStages(unitCounts, lesser);
            return new RunLayout([.. Enumerable.Range(0, replicaCount).Select(replica => replica < rest ? more : less)]);
        }
        catch (ScheduleException)
        {
            // Some schedules want a multiple of the ranks.
            return null;
        }
    }

    /// <summary>
    /// The layout of a plan under way for replicas with so many ranks each, which share its micro-batches as evenly as can be; null where there is no schedule for one of
    /// them and its share.
    /// </summary>
    public static RunLayout? Among(TrainingPlan plan, IReadOnlyList<int> rankCounts)
    {
        var (least, rest) = Math.DivRem(plan.Batches.MicroBatchCount, rankCounts.Count);
        if (least == 0) return null;
        try
        {
            Dictionary<(int Ranks, int Share), ReplicaStages> known = [];
            foreach (var kind in rankCounts.Select((ranks, replica) => (ranks, Share: replica < rest ? least + 1 : least)).Distinct())
                known.Add(kind, UnevenReplicas.Stages(plan, kind.ranks, kind.Share, (schedule, units) => Ended(schedule, plan, units, rankCounts.Count)));
            return new RunLayout([.. rankCounts.Select((ranks, replica) => known[(ranks, replica < rest ? least + 1 : least)])]);
        }
        catch (ScheduleException)
        {
            return null;
        }
    }

    /// <summary>What a coordinator makes of it while the run is under way.</summary>
    /// <param name="gain">Share of the slowest rank's time that it is expected to save.</param>
    public UnitDivision Division(double gain = 0) => new(UnitCounts, ScheduleText.Format(Schedule), gain)
    {
        ReplicaCount = ReplicaCount,
        Others = Others,
    };

    private static Schedule Ended(Schedule schedule, TrainingPlan plan, IReadOnlyList<int> unitCounts, int replicaCount)
    {
        var tied = StageTies.TiedStages(plan.Units, unitCounts);
        // A stage none of whose units drops anything has nothing to make again.
        if (plan.Recompute is { } drops) schedule = RecomputePass.Only(schedule, StagesThatDrop(drops, unitCounts));
        plan = plan with { ReplicaCount = replicaCount };
        if (!schedule.EndsStep) schedule = StepEndPass.Apply(schedule, tied);
        RequireEnd(schedule, tied, plan);
        if (!schedule.Exchanges) schedule = WithExchange(schedule, plan);
        ScheduleValidator.ThrowIfInvalid(schedule);
        return schedule;
    }

    private static IEnumerable<int> StagesThatDrop(IReadOnlyList<Recomputation> drops, IReadOnlyList<int> unitCounts) =>
        Partitioner.FromCounts(drops.Count, unitCounts).Index().Where(stage => drops.Skip(stage.Item.Start).Take(stage.Item.Count).Any(kind => kind != Recomputation.None)).Select(stage => stage.Index);

    private static Func<int, Schedule>? ScheduleOf(TrainingPlan plan, int replicaCount)
    {
        if (plan.ScheduleOf is { } generate) return generate;
        if (plan.ScheduleText is not { } text) return share => ScheduleCatalog.Generate(plan.Schedule, plan.StageCount, share);
        return replicaCount == plan.ReplicaCount ? _ => Given(text, plan) : null;
    }

    private static Schedule WithExchange(Schedule schedule, TrainingPlan plan) =>
        plan.StepsLocally ? ReductionPass.ApplyLocally(schedule)
        : plan.Reduces ? ReductionPass.Apply(schedule, plan.SharesOptimizer && plan.ReplicaCount > 1)
        : schedule;

    /// <summary>A schedule that brings its own end along ends as the run's units and replicas want it: what is missing or idle would be silently wrong.</summary>
    private static void RequireEnd(Schedule schedule, IReadOnlyList<int> tied, TrainingPlan plan)
    {
        if (!schedule.TiedStages.SequenceEqual(tied))
        {
            throw new ScheduleException($"The schedule {schedule.Name} adds tied gradients up on the stages [{string.Join(", ", schedule.TiedStages)}], the units that it is to run are tied on [{string.Join(", ", tied)}]. "
                + "Make them agree, or leave the end of the step out of the schedule: it is added.");
        }

        var (found, wanted) = ((schedule.Reduces, schedule.SharesOptimizer, schedule.StepsLocally), (plan.Reduces, plan.SharesOptimizer && plan.ReplicaCount > 1, plan.StepsLocally));
        if (!schedule.Exchanges || found == wanted) return;
        throw new ScheduleException($"The schedule {schedule.Name} exchanges between replicas by {schedule.ExchangeLetters}, the run by {Letters(wanted)}. Leave these actions out of the schedule: they are added.");

        static string Letters((bool Reduces, bool Shares, bool Locally) end) => end.Locally ? "A alone" : !end.Reduces ? "no action" : end.Shares ? "S and A" : "S and G";
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
