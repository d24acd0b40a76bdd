using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Steps that follow one another without a barrier: each rank begins the next when it is done with its own, so that the ranks' shift against one another costs nothing.</summary>
public static class SteadySteps
{
    /// <summary>The mean time that a step adds to the one before it.</summary>
    /// <param name="schedule">A step with its end.</param>
    /// <param name="model">The world of a step, by its number from 0; its ranks' starts are replaced.</param>
    /// <param name="count">How many steps after the first are counted, at least 1.</param>
    /// <param name="begun">The first step, where it has been simulated already, in its own world.</param>
    public static double Added(Schedule schedule, Func<int, SimulationModel> model, int count, SimulatedStep? begun = null)
    {
        ImmutableArray<double> starts = [];
        var (first, last, busiest) = (0.0, 0.0, 0.0);
        for (var index = 0; index <= count; index++)
        {
            var step = index == 0 && begun is not null ? begun : Simulator.Run(schedule, model(index) with { StartOfRank = starts });
            starts = [.. Enumerable.Range(0, schedule.RankCount).Select(step.EndOf)];
            last = step.Duration;
            if (index == 0)
                first = last;
            else
                busiest += step.Ranks.Max(rank => rank.Busy + rank.Transfer);
        }

        // What the first step ended with to spare is not what later ones gain.
        return Math.Max(last - first, busiest) / count;
    }
}
