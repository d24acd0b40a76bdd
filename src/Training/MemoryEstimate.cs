using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Training;

/// <summary>
/// What each rank of a plan will hold, estimated from shapes alone: an upper figure for placement and for people, not a measurement. What the tensor
/// library keeps for itself is not in it.
/// </summary>
/// <param name="StateBytes">By rank, weights, gradients and moments.</param>
/// <param name="ActivationBytes">By rank, what forwards keep for their backwards, at the schedule's peak.</param>
public sealed record MemoryEstimate(IReadOnlyList<long> StateBytes, IReadOnlyList<long> ActivationBytes)
{
    /// <summary>By rank, both together.</summary>
    public IReadOnlyList<long> RankBytes => [.. StateBytes.Zip(ActivationBytes, (state, activations) => state + activations)];

    /// <summary>Estimates.</summary>
    /// <param name="plan">What is trained.</param>
    /// <param name="layout">How it is spread.</param>
    /// <param name="tokensPerMicroBatch">Samples of a micro-batch times their length.</param>
    public static MemoryEstimate Of(TrainingPlan plan, RunLayout layout, long tokensPerMicroBatch)
    {
        var isBf16 = plan.Precision == Precision.Bf16;
        // What is computed with and the gradient; two moments and in a bf16 run the master weights, of a share where it is shared out; the copy
        // of a step that may be taken back, which replicas do not have.
        var shardCount = plan.SharesOptimizer ? layout.ReplicaCount : 1;
        var runsAhead = layout.ReplicaCount == 1 && new BarrierChoice(plan.Barrier, layout.Schedule).MayRunAhead;
        var parameterBytes = (isBf16 ? 6 : 8) + ((isBf16 ? 12 : 8) + shardCount - 1) / shardCount + (runsAhead ? 4 : 0);
        var inFlight = ScheduleValidator.PeakInFlight(layout.Schedule);
        var state = new long[layout.Schedule.RankCount];
        var activations = new long[layout.Schedule.RankCount];
        var first = 0;
        for (var stage = 0; stage < layout.UnitCounts.Count; stage++)
        {
            Unit[] units = [.. plan.Units.Skip(first).Take(layout.UnitCounts[stage])];
            var rank = layout.Schedule.RankOfStage[stage];
            state[rank] += units.SelectMany(unit => unit.Parameters).Sum(spec => spec.ElementCount) * parameterBytes;
            // What is in flight is counted over all the rank's stages: as if all of it were of the one that keeps most.
            activations[rank] = Math.Max(activations[rank], (long)(units.Sum(unit => unit.KeptElementsPerToken) * tokensPerMicroBatch * (isBf16 ? 2 : 4) * inFlight[rank]));
            first += layout.UnitCounts[stage];
        }

        // Ranks of a run count replica by replica.
        return new MemoryEstimate([.. Enumerable.Repeat(state, layout.ReplicaCount).SelectMany(rank => rank)], [.. Enumerable.Repeat(activations, layout.ReplicaCount).SelectMany(rank => rank)]);
    }
}
