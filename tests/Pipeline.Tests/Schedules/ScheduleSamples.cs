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

    /// <summary>0: without the step's end; 1: with it, untied; 2: first and last stage tied, where there are two.</summary>
    public static Schedule Ended(Schedule schedule, int end) => end switch
    {
        0 => schedule,
        2 when schedule.StageCount > 1 => StepEndPass.Apply(schedule, [0, schedule.StageCount - 1]),
        _ => StepEndPass.Apply(schedule, []),
    };
}
