using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Training;

/// <summary>
/// What each rank of a plan will hold, estimated from shapes alone: an upper figure for placement and for people, not a measurement. What the tensor
/// library keeps for itself is not in it.
/// </summary>
/// <param name="StateBytes">By rank, weights, gradients and moments.</param>
/// <param name="ActivationBytes">By rank, what forwards keep for their backwards, at the schedule's peak.</param>
/// <param name="ExchangeBytes">By rank, what adding up over replicas needs beside the gradients: buckets, sums under way, residuals, messages that are kept for a loss.</param>
public sealed record MemoryEstimate(IReadOnlyList<long> StateBytes, IReadOnlyList<long> ActivationBytes, IReadOnlyList<long> ExchangeBytes)
{
    /// <summary>What ranks may take of a machine's memory where a plan, or the run itself, divides units: the rest is for code, tokens, buffers of the library.</summary>
    public const double UsableShare = 0.8;

    /// <summary>By rank, all together.</summary>
    public IReadOnlyList<long> RankBytes => [.. StateBytes.Zip(ActivationBytes, ExchangeBytes).Select(bytes => bytes.First + bytes.Second + bytes.Third)];

    /// <summary>Bytes of weights, gradients and moments that a rank holds for each of its parameters.</summary>
    internal static double ParameterBytesOf(TrainingPlan plan, RunLayout layout)
    {
        // The copy of a step that may be taken back, which replicas do not have.
        var runsAhead = layout.ReplicaCount == 1 && new BarrierChoice(plan.Barrier, layout.Schedule).MayRunAhead;
        return ParameterBytes.Of(plan.Precision, plan.SharesOptimizer ? layout.ReplicaCount : 1, plan.ReducesEachMicroBatch ? layout.ReplicaCount : 1) + (runsAhead ? 4 : 0);
    }

    /// <summary>Estimates.</summary>
    /// <param name="plan">What is trained.</param>
    /// <param name="layout">How it is spread.</param>
    /// <param name="tokensPerMicroBatch">Samples of a micro-batch times their length.</param>
    /// <param name="isSpread">Whether ranks lie in several processes, which keep what they have sent until it is protected.</param>
    public static MemoryEstimate Of(TrainingPlan plan, RunLayout layout, long tokensPerMicroBatch, bool isSpread = false)
    {
        var isBf16 = plan.Precision == Precision.Bf16;
        var parameterBytes = ParameterBytesOf(plan, layout);
        var known = layout.Replicas.Distinct().ToDictionary(replica => replica, OfReplica);
        MemoryEstimate[] replicas = [.. layout.Replicas.Select(replica => known[replica])];
        // Ranks of a run count replica by replica.
        return new MemoryEstimate(
            [.. replicas.SelectMany(replica => replica.StateBytes)], [.. replicas.SelectMany(replica => replica.ActivationBytes)], [.. replicas.SelectMany(replica => replica.ExchangeBytes)]);

        MemoryEstimate OfReplica(ReplicaStages replica)
        {
            var (state, exchange) = (new long[replica.RankCount], new long[replica.RankCount]);
            var activations = MemoryUse.Of(replica.Schedule, [.. Enumerable.Range(0, replica.StageCount).Select(stage => KeptBy(replica.UnitsOf(stage)))]);
            var exchanged = new ExchangeEstimate(plan, layout, replica, isSpread);
            for (var stage = 0; stage < replica.StageCount; stage++)
            {
                Unit[] units = [.. replica.UnitsOf(stage).Select(unit => plan.Units[unit])];
                var rank = replica.Schedule.RankOfStage[stage];
                state[rank] += (long)Math.Ceiling(units.SelectMany(unit => unit.Parameters).Sum(spec => spec.ElementCount) * parameterBytes);
                exchange[rank] += exchanged.BytesOf(replica.FirstUnitOf(stage), [.. units.Select(unit => unit.Parameters.Sum(spec => spec.ElementCount))]);
            }

            return new MemoryEstimate(state, [.. activations.Select(rank => rank.Activations)], exchange);
        }

        // Of units that drop everything and follow one another the first keeps its input, which is some part of what it keeps otherwise. What selective recomputation
        // drops no shape says.
        StageMemory KeptBy(IEnumerable<int> units)
        {
            var (kept, rest, isWithin) = (0.0, 0.0, false);
            foreach (var unit in units)
            {
                var drops = (plan.Recompute?[unit] ?? Recomputation.Full) == Recomputation.Full;
                kept += plan.Units[unit].KeptElementsPerToken;
                if (!drops || !isWithin) rest += plan.Units[unit].KeptElementsPerToken;
                isWithin = drops;
            }

            return new StageMemory(0, Bytes(kept), Bytes(rest), Bytes(kept));
        }

        long Bytes(double elementsPerToken) => (long)(elementsPerToken * tokensPerMicroBatch * (isBf16 ? 2 : 4));
    }
}
