using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class CriticalPathTests
{
    private const double Tolerance = 1e-9;

    [Fact]
    public void Its_actions_and_delays_add_up_to_the_step_and_follow_one_another() =>
        Gen.Select(ScheduleSamples.Training(4, 7), Gen.Double[0.1, 3].Array[24], Gen.Double[0, 1]).Where((schedule, _, _) => schedule.StageCount <= 12)
            .Sample((schedule, random, latency) =>
            {
                var costs = ActionCosts.PerStage([.. random.Take(schedule.StageCount)], [.. random.Skip(12).Take(schedule.StageCount)], latency)
                    .With(ActionKind.TiedSum, 0.5).With(ActionKind.Norm, 0.25).With(ActionKind.Optimizer, 1);
                var step = Simulator.Run(schedule, new SimulationModel { Costs = costs });
                var path = CriticalPath.Of(step);
                Assert.Equal(step.Duration, path.Actions.Sum(action => action.Span.Duration) + path.Delay, Tolerance);
                Assert.Equal(step.Duration, Enum.GetValues<ActionKind>().Sum(path.TimeIn) + path.Delay, Tolerance);
                Assert.Equal(step.Duration, Enumerable.Range(0, schedule.RankCount).Sum(path.TimeOn) + path.Delay, Tolerance);
                Assert.Equal(CriticalCause.Start, path.Actions[0].Cause);
                Assert.All(path.Actions.Zip(path.Actions.Skip(1)), pair =>
                {
                    Assert.True(pair.Second.Delay >= -1e-9);
                    Assert.Equal(pair.First.Span.End + pair.Second.Delay, pair.Second.Span.Start, Tolerance);
                });
                // Nothing on it has slack beyond the latency that separates neighbours.
                Assert.All(path.Actions, action => Assert.True(action.Delay <= latency + 1e-9));
            });

    [Fact]
    public void Shortening_what_is_on_it_is_what_shortens_the_step()
    {
        var schedule = ScheduleCatalog.Generate("1f1b", 4, 8);
        var costs = ActionCosts.PerStage([1, 1, 3, 1], [2, 2, 6, 2]);
        var step = Simulator.Run(schedule, new SimulationModel { Costs = costs });
        Assert.True(CriticalPath.Of(step).TimeOn(2) > 0.9 * 8 * 9);
    }

    [Fact]
    public void A_density_map_holds_all_the_work_of_the_step() =>
        Gen.Select(ScheduleSamples.Training(6, 8), Gen.Int[1, 5], Gen.Int[1, 40]).Sample((schedule, bands, slices) =>
        {
            var step = Simulator.Run(schedule, new SimulationModel { Costs = ActionCosts.Uniform(schedule.StageCount) });
            var map = DensityMap.Of(step, bands, slices);
            Assert.InRange(map.BandCount, 1, bands);
            var work = 0.0;
            for (var band = 0; band < map.BandCount; band++)
            {
                var ranks = Math.Min(map.RanksPerBand, schedule.RankCount - (band * map.RanksPerBand));
                for (var slice = 0; slice < slices; slice++)
                {
                    var share = Enumerable.Range(0, DensityMap.Groups.Length).Sum(group => map.Share(band, slice, group));
                    Assert.InRange(share, 0, 1.0001);
                    work += share * ranks * step.Duration / slices;
                }
            }

            Assert.Equal(step.Ranks.Sum(rank => rank.Busy), work, 1e-3);
        });
}
