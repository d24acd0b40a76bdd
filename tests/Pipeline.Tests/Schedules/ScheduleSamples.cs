using CsCheck;
using Pipeline.Schedules;

namespace Pipeline.Tests.Schedules;

/// <summary>Schedules for property tests: every generator that is there, small shapes, with and without the step's end.</summary>
internal static class ScheduleSamples
{
    public static readonly IScheduleGenerator[] Generators = [.. ScheduleCatalog.All];

    public static Gen<(IScheduleGenerator Generator, ScheduleShape Shape)> Shapes(int maxRankCount, int maxMicroBatchCount, int maxVirtualStages = 3) =>
        Gen.Select(Gen.OneOf(Generators), Gen.Int[1, maxRankCount], Gen.Int[1, maxMicroBatchCount], Gen.Int[1, maxVirtualStages])
            .Select((generator, ranks, microBatches, virtualStages) =>
                (generator, new ScheduleShape(ranks, microBatches, generator.StagesPerRank.Allows(virtualStages) ? virtualStages : generator.StagesPerRank.Default)));

    public static Gen<Schedule> Training(int maxRankCount, int maxMicroBatchCount) =>
        Gen.Select(Shapes(maxRankCount, maxMicroBatchCount), Gen.Int[0, 2]).Select((sample, end) => Ended(sample.Generator.Generate(sample.Shape), end));

    public static readonly Gen<Schedule> Any = Gen.OneOf(
        Training(5, 7),
        Shapes(5, 7).Select(sample => ForwardOnly.Generate(sample.Shape)));

    /// <summary>
    /// With every kind of action that a run can have: recomputation on some stages, and all ways in which replicas exchange. Of two
    /// stages at least, since a single stage without its part of the exchange is a schedule that does not exchange.
    /// </summary>
    public static Gen<Schedule> Whole(int maxRankCount, int maxMicroBatchCount) =>
        Gen.Select(Shapes(maxRankCount, maxMicroBatchCount).Where(sample => sample.Shape.StageCount > 1), Gen.Int[1, 2], Gen.Int[0, 3], Gen.Int[0, 3])
            .Select((sample, end, exchange, recomputed) =>
            {
                var bare = Ended(sample.Generator.Generate(sample.Shape), end);
                var exchanging = exchange switch
                {
                    1 => ReductionPass.Apply(bare),
                    2 => ReductionPass.Apply(bare, sharesOptimizer: true),
                    3 => ReductionPass.ApplyLocally(bare),
                    _ => bare,
                };
                return RecomputePass.Apply(exchanging, Enumerable.Range(0, bare.StageCount).Where(stage => (stage & recomputed) == 0 && recomputed > 0));
            });

    /// <summary>0: without the step's end; 1: with it, untied; 2: first and last stage tied, where there are two.</summary>
    public static Schedule Ended(Schedule schedule, int end) => end switch
    {
        0 => schedule,
        2 when schedule.StageCount > 1 => StepEndPass.Apply(schedule, [0, schedule.StageCount - 1]),
        _ => StepEndPass.Apply(schedule, []),
    };
}
