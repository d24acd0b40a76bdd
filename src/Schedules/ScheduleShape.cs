using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>The sizes that a generator makes a schedule for.</summary>
public sealed record ScheduleShape
{
    /// <param name="rankCount">Ranks of the pipeline, p, at least 1.</param>
    /// <param name="microBatchCount">Micro-batches of a step, m, at least 1; smaller than p and not divisible by p are fine.</param>
    /// <param name="virtualStagesPerRank">Stages that each rank holds, v, at least 1.</param>
    /// <exception cref="ScheduleException">A size is below 1.</exception>
    public ScheduleShape(int rankCount, int microBatchCount, int virtualStagesPerRank = 1)
    {
        RankCount = AtLeastOne(rankCount, "ranks", "pipeline.parallelism.pipeline");
        MicroBatchCount = AtLeastOne(microBatchCount, "micro-batches", "pipeline.schedule.micro-batches");
        VirtualStagesPerRank = AtLeastOne(virtualStagesPerRank, "virtual stages per rank", "pipeline.schedule.virtual-stages");
    }

    /// <summary>Ranks of the pipeline, p.</summary>
    public int RankCount { get; }

    /// <summary>Micro-batches of a step, m.</summary>
    public int MicroBatchCount { get; }

    /// <summary>Stages that each rank holds, v.</summary>
    public int VirtualStagesPerRank { get; }

    /// <summary>Stages over all ranks, p · v.</summary>
    public int StageCount => checked(RankCount * VirtualStagesPerRank);

    /// <summary>
    /// The most (stage, micro-batch) pairs that a rank may hold, for kinds that take it as a given; null leaves it to the kind.
    /// </summary>
    /// <exception cref="ScheduleException">It is below 1.</exception>
    public int? MemoryCredit
    {
        get;
        init => field = value is { } credit ? AtLeastOne(credit, "credits of memory", "pipeline.schedule.memory-credit") : null;
    }

    /// <summary>The looped placement: stage s on rank s mod p. With v = 1 each stage has its own rank.</summary>
    public ImmutableArray<int> LoopedPlacement => [.. Enumerable.Range(0, StageCount).Select(stage => stage % RankCount)];

    /// <summary>
    /// The V of two stages per rank: down the ranks with stages 0 to p−1 and up again, stage s and stage 2p−1−s on rank s, so
    /// that the first rank has the first and the last stage.
    /// </summary>
    public ImmutableArray<int> VPlacement =>
        [.. Enumerable.Range(0, RankCount), .. Enumerable.Range(0, RankCount).Reverse()];

    private static int AtLeastOne(int count, string what, string key) =>
        count >= 1 ? count : throw new ScheduleException($"A schedule needs at least 1 of its {what}, found {count}. Raise {key}.");
}
