using Pipeline.Cli.Configuration;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Cli.Planning;

/// <summary>From settings and the world that they name to what the planner is asked.</summary>
internal static class PlanRequests
{
    private static readonly int[] s_sizes = [1, 2, 4, 8, 16, 32];

    /// <summary>A request that leaves schedule, stages per rank, recomputation and size of the micro-batch open.</summary>
    /// <param name="settings">Model and samples of a step.</param>
    /// <param name="world">Costs, ranks, links.</param>
    /// <param name="keepsMicroBatches">Whether the size of the micro-batch stays as it is: it is part of a run's bits.</param>
    public static PlanRequest Of(RunSettings settings, PlanWorld world, bool keepsMicroBatches)
    {
        var units = DecoderTransformer.Units(settings.Model);
        return new PlanRequest
        {
            Profile = world.Profile,
            SamplesPerStep = settings.Step.SampleCount / settings.Step.ReplicaCount,
            Ranks = world.Ranks,
            KeepsOrder = world.KeepsOrder,
            // Which replica is the slowest is asked hundreds of times by a plan: those that cannot be are left out.
            Pipelines = keepsMicroBatches ? world.Pipelines : PlannedPipeline.Slowest(world.Pipelines),
            MicroBatchSizes = keepsMicroBatches ? [settings.Step.MicroBatchSize] : [.. s_sizes.Append(settings.Step.MicroBatchSize)],
            Reductions = world.Reductions,
            WaitsForNorm = WaitsForNorm(settings) || settings.ReplicasToReckonWith > 1,
            // As MemoryEstimate has it: replicas wait, and hold one copy.
            HoldsWeightsTwice = schedule => settings.ReplicasToReckonWith == 1 && new BarrierChoice(settings.Step.Barrier, schedule).MayRunAhead,
            TiedStages = partition => StageTies.TiedStages(units, [.. partition.Select(range => range.Count)]),
        };
    }

    /// <summary>Whether every step of a run waits for its norm: as set, and wherever gradients are reduced.</summary>
    internal static bool WaitsForNorm(RunSettings settings) =>
        settings.Step.Barrier is OptimizerBarrier.On || settings.Step.ReplicaCount > 1 || settings.Summation is Summation.Invariant;
}
