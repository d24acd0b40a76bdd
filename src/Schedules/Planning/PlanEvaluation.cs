using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Partitions, generates and simulates one combination of a plan.</summary>
public static class PlanEvaluation
{
    /// <summary>What a combination amounts to, and the simulated step that says so.</summary>
    /// <param name="request">Costs, ranks, links.</param>
    /// <param name="plain">The schedule without recomputation and without the step's end, for the ranks of the request.</param>
    /// <param name="microBatchSize">Samples of a micro-batch.</param>
    /// <param name="recompute">What is dropped and made again.</param>
    /// <exception cref="ScheduleException">There are more stages than units.</exception>
    public static (PlanCandidate Candidate, SimulatedStep Step) Of(PlanRequest request, Schedule plain, int microBatchSize, RecomputePolicy recompute) =>
        new PlannedStep(request, plain, microBatchSize, recompute).Simulate();

    /// <summary>The mean duration of a candidate's step over some draws of <see cref="PlanRequest.Spread"/>.</summary>
    public static double UnevenTime(PlanRequest request, PlanCandidate candidate, int drawCount)
    {
        // What is held at the peak is known already: it does not depend on durations.
        var model = Model(request, candidate, request.Profile.For(candidate.MicroBatchSize)) with { Memory = [] };
        SimulationModel Drawn(int draw) => model with { Jitter = new Jitter(request.Spread, draw) };
        return model.WaitsForNorm
            ? Enumerable.Range(0, drawCount).Average(draw => Simulator.Run(candidate.Schedule!, Drawn(draw)).Duration)
            : SteadySteps.Added(candidate.Schedule!, Drawn, drawCount);
    }

    /// <summary>The world in which a candidate with its schedule is simulated.</summary>
    internal static SimulationModel Model(PlanRequest request, PlanCandidate candidate, ImmutableArray<UnitProfile> units)
    {
        var stages = StageProfile.Of(units, candidate.Partition, request.Profile.ActionOverhead, request.Profile.HopLatency, candidate.Recompute);
        return new SimulationModel
        {
            Costs = stages.Costs,
            SpeedOfRank = [.. candidate.NodeOfRank.Select(node => request.Ranks[node].Speed)],
            Slowdowns = request.Slowdowns,
            Memory = stages.Memory,
            Links = request.Links?.Invoke(stages.OutputBytes),
            Reductions = request.Reductions?.Invoke(stages.GradientBytes),
            // Whole backwards leave nothing to do while the norm travels.
            WaitsForNorm = request.WaitsForNorm || !candidate.Schedule!.UsesSplitBackward || candidate.Schedule.RankCount == 1,
        };
    }
}
