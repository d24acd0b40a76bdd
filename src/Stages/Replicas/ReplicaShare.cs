using Pipeline.Protocol;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>What the replica of a rank computes of a step: its schedule, and everybody's micro-batches. A value.</summary>
/// <param name="Index">Index of the replica, from 0; for a reducer, which computes none, the number of replicas.</param>
/// <param name="Schedule">Its actions.</param>
/// <param name="Shares">Contiguous micro-batches of each replica, together those of the step.</param>
internal sealed record ReplicaShare(int Index, Schedule Schedule, IReadOnlyList<LeafShare> Shares)
{
    /// <summary>That of a rank in a layout.</summary>
    /// <exception cref="ScheduleException">A schedule's text cannot be read, or the two of the layout do not go together.</exception>
    internal static ReplicaShare Of(PipelineLayout layout, int rank)
    {
        var schedule = ScheduleText.Parse(layout.Schedule);
        var count = Math.Max(1, (layout.Ranks.Count - layout.ReducerCount) / schedule.RankCount);
        var index = rank / schedule.RankCount;
        if (layout.Lesser is not { } lesser) return new ReplicaShare(index, schedule, LeafShare.Even(schedule.MicroBatchCount * count, count));
        var shorter = ScheduleText.Parse(lesser.Schedule);
        if (shorter.MicroBatchCount != schedule.MicroBatchCount - 1 || !shorter.RankOfStage.SequenceEqual(schedule.RankOfStage) || lesser.FirstReplica < 1 || lesser.FirstReplica >= count)
        {
            throw new ScheduleException($"From replica {lesser.FirstReplica} of {count} on the schedule has {shorter.MicroBatchCount} micro-batches and {shorter.StageCount} stages, before it "
                + $"{schedule.MicroBatchCount} and {schedule.StageCount}: expected the same stages and one micro-batch less.");
        }

        var shares = LeafShare.Even(schedule.MicroBatchCount * count - (count - lesser.FirstReplica), count);
        return new ReplicaShare(index, index < lesser.FirstReplica ? schedule : shorter, shares);
    }
}
