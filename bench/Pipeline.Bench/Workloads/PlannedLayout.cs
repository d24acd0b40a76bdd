using System.Collections.Immutable;
using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Schedules;

namespace Pipeline.Bench.Workloads;

/// <summary>What the planner chooses for a model whose units cost what they estimate, at a given number and size of micro-batches.</summary>
internal static class PlannedLayout
{
    // A processor core's, of the order of magnitude: it weighs the step's end and the bookkeeping of an action against products.
    private const double Flops = 1e11;
    private const double OptimizerOperations = 20;
    private const double ActionOverhead = 5e-4;
    private const double HopLatency = 5e-5;

    /// <summary>The choice.</summary>
    public static PlanCandidate Choose(ModelSettings settings, int rankCount, int microBatchCount, int microBatchSize, bool waitsForNorm)
    {
        ImmutableArray<UnitProfile> units = [.. DecoderTransformer.Units(settings).Select(unit => Profile(unit, settings, microBatchSize))];
        return Planner.Find(new PlanRequest
        {
            Profile = new ModelProfile
            {
                Source = "estimated from multiply-adds",
                IsMeasured = false,
                BySize = ImmutableSortedDictionary<int, ImmutableArray<UnitProfile>>.Empty.Add(microBatchSize, units),
                ActionOverhead = ActionOverhead,
                HopLatency = HopLatency,
            },
            SamplesPerStep = microBatchCount * microBatchSize,
            Ranks = [.. Enumerable.Repeat(new NodeCapacity(1, long.MaxValue), rankCount)],
            MicroBatchSizes = [microBatchSize],
            Recomputes = [RecomputePolicy.None],
            WaitsForNorm = waitsForNorm,
        }).Choice!;
    }

    private static UnitProfile Profile(Unit unit, ModelSettings settings, int microBatchSize)
    {
        var forward = 2 * unit.Cost * settings.Context * microBatchSize / Flops;
        var parameterCount = unit.Parameters.Sum(spec => spec.ElementCount);
        return new UnitProfile
        {
            Name = unit.Name,
            Forward = forward,
            Backward = 2 * forward,
            InputGradient = forward,
            WeightGradient = forward,
            Optimizer = parameterCount * OptimizerOperations / Flops,
            KeptBytes = (long)(unit.KeptElementsPerToken * settings.Context * microBatchSize * sizeof(float)),
            DeferredBytes = (long)(unit.KeptElementsPerToken * settings.Context * microBatchSize * sizeof(float)),
            OutputBytes = (long)settings.Width * settings.Context * microBatchSize * sizeof(float),
            StateBytes = parameterCount * 16,
            GradientBytes = parameterCount * sizeof(float),
        };
    }
}
