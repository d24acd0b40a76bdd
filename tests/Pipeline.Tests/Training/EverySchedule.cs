using System.Collections.Concurrent;
using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Training;

namespace Pipeline.Tests.Training;

/// <summary>One way to run the tiny model.</summary>
internal sealed record Combination(
    string Schedule, int RankCount, int StagesPerRank, int MicroBatchCount, RecomputedUnits Recomputed, Precision Precision, BarrierCase Barrier, bool Tied)
{
    public override string ToString() =>
        $"{Schedule} p={RankCount} v={StagesPerRank} m={MicroBatchCount} recompute={Recomputed} {Precision} barrier={Barrier} {(Tied ? "tied" : "untied")}";
}

/// <summary>Which units recompute.</summary>
internal enum RecomputedUnits
{
    None,
    Selective,
    Full,
    Mixed,
}

/// <summary>Whether a step waits for its norm, and whether it is clipped.</summary>
internal enum BarrierCase
{
    On,
    OffUnclipped,
    OffClipped,
}

/// <summary>Every valid combination of schedule, ranks, stages, micro-batches, recomputation, arithmetic and barrier; and a pairwise covering of them.</summary>
internal static class EverySchedule
{
    // Each stage needs a unit of the tiny model.
    private const int UnitCount = 8;
    private static readonly int[] MicroBatchCounts = [1, 2, 3, 5, 8, 16];
    private static readonly int[] StagesPerRank = [1, 2, 3, 4];
    private static readonly ConcurrentDictionary<(int, Precision, BarrierCase, bool), IReadOnlyList<ReferenceStep>> References = new();

    internal static IReadOnlyList<Combination> All { get; } = [.. Valid()];

    /// <summary>Places in <see cref="All"/> of a subset that covers every pair of choices.</summary>
    internal static IReadOnlyList<int> Covering { get; } = PairwiseCover.Of([.. All.Select(Values)]);

    internal static TrainingPlan PlanOf(Combination one)
    {
        var schedule = ScheduleCatalog.Generate(one.Schedule, new ScheduleShape(one.RankCount, one.MicroBatchCount, one.StagesPerRank));
        if (one.Recomputed != RecomputedUnits.None) schedule = RecomputePass.Apply(schedule, Enumerable.Range(0, schedule.StageCount));
        var plan = TinyRun.Plan(one.RankCount, one.MicroBatchCount, one.Tied, one.Precision, StepsOf(one.Barrier));
        return plan with
        {
            ScheduleText = ScheduleText.Format(schedule),
            Recompute = [.. plan.Units.Select((_, unit) => RecomputationOf(one.Recomputed, unit))],
            Barrier = one.Barrier == BarrierCase.On ? OptimizerBarrier.On : OptimizerBarrier.Off,
            Optimizer = plan.Optimizer with { Clip = one.Barrier == BarrierCase.OffUnclipped ? 0 : 1e-3 },
        };
    }

    internal static IReadOnlyList<ReferenceStep> ReferenceOf(Combination one) =>
        References.GetOrAdd((one.MicroBatchCount, one.Precision, one.Barrier, one.Tied), _ => TinyRun.Train(PlanOf(one)));

    // A step that is redone is the second one at the earliest, and what it leaves is seen in the third.
    private static long StepsOf(BarrierCase barrier) => barrier == BarrierCase.On ? 1 : 3;

    private static Recomputation RecomputationOf(RecomputedUnits recomputed, int unit) => recomputed switch
    {
        RecomputedUnits.None => Recomputation.None,
        RecomputedUnits.Selective => Recomputation.Selective,
        RecomputedUnits.Full => Recomputation.Full,
        _ => (Recomputation)(unit % 3),
    };

    private static IEnumerable<Combination> Valid() =>
        from generator in ScheduleCatalog.All
        from rankCount in Enumerable.Range(1, 4)
        from stagesPerRank in StagesPerRank
        where generator.StagesPerRank.Allows(stagesPerRank) && rankCount * stagesPerRank <= UnitCount
        from microBatchCount in MicroBatchCounts
        from recomputed in Enum.GetValues<RecomputedUnits>()
        from precision in new[] { Precision.Fp32, Precision.Bf16 }
        from barrier in Enum.GetValues<BarrierCase>()
        from tied in new[] { true, false }
        select new Combination(generator.Name, rankCount, stagesPerRank, microBatchCount, recomputed, precision, barrier, tied);

    private static int[] Values(Combination one) =>
    [
        ScheduleCatalog.All.Select(generator => generator.Name).ToList().IndexOf(one.Schedule), one.RankCount, one.StagesPerRank,
        Array.IndexOf(MicroBatchCounts, one.MicroBatchCount), (int)one.Recomputed, (int)one.Precision, (int)one.Barrier, one.Tied ? 1 : 0,
    ];
}
