using System.Collections.Immutable;
using Pipeline.Cli;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>The planner's choice on its way to nodes that only read settings.</summary>
public sealed class AutomaticPlanTests
{
    [Fact]
    public void Whoever_reads_the_choice_as_settings_runs_the_order_that_was_planned()
    {
        var bound = RunSettingsBinder.Resolve(ConfigurationSources.None with
        {
            Flags = ConfigurationLayer.FromFlags([(SettingsSchema.Preset, "--preset", "gpt-nano"), (SettingsSchema.Precision, "--precision", "fp32"), (SettingsSchema.Plan, "--plan", "auto")]),
        });
        // Parts whose costs are far from alike, so that their order is not that of equal ones.
        var estimated = UnitEstimates.Of(bound.Settings, 1e9);
        var profile = estimated with
        {
            BySize = estimated.BySize.ToImmutableSortedDictionary(size => size.Key, size => size.Value.Select(unit => unit with { InputGradient = 2.7 * unit.Forward, WeightGradient = 0.3 * unit.Forward }).ToImmutableArray()),
        };
        PlanWorld world = new(profile, [new PlannedPipeline(0, [new NodeCapacity(1, long.MaxValue), new NodeCapacity(1, long.MaxValue)])], null, "two ranks");
        var request = PlanRequests.Of(bound.Settings, world, keepsMicroBatches: true) with { VirtualStages = [1, 2], Recomputes = [RecomputePolicy.None, RecomputePolicy.Full] };
        var (count, differentCount) = (0, 0);
        foreach (var candidate in Planner.Find(request).Candidates)
        {
            var read = Read(new AutomaticPlan(bound, candidate, []).Explicit());
            Assert.Equal(candidate.Schedule, Ended(ScheduleChoice.For(read), candidate));
            Assert.Equal(candidate.Partition.Select(range => range.Count), read.Partition);
            if (candidate.Kind != "greedy") continue;
            count++;
            if (!candidate.Schedule!.Equals(Ended(ScheduleChoice.For(read with { OrderCosts = null }), candidate))) differentCount++;
        }

        Assert.True(count > 3 && differentCount > 0, $"{differentCount} of {count}");

        Schedule Ended(Schedule schedule, PlanCandidate candidate) => StepEndPass.Apply(schedule, request.TiedStages(candidate.Partition));
    }

    [Fact]
    public void What_a_plan_expects_of_units_ranks_and_nodes_arrives_with_it_and_makes_no_sense_without_it()
    {
        var bound = RunSettingsBinder.Settle(RunSettingsBinder.Resolve(ConfigurationSources.None with
        {
            Assignments = ConfigurationLayer.FromAssignments(["preset=gpt-nano", "plan=auto", "schedule.micro-batches=8"]),
        }), () => false);
        var profile = UnitEstimates.Of(bound.Settings, 1e9);
        PlanWorld world = new(profile, [new PlannedPipeline(0, [new NodeCapacity(0.5, long.MaxValue), new NodeCapacity(1, long.MaxValue)])], null, "two nodes")
        {
            Places = ["akka.tcp://pipeline@a:1", "akka.tcp://pipeline@b:1"],
        };
        var request = PlanRequests.Of(bound.Settings, world, keepsMicroBatches: true) with { Kinds = [new OneForwardOneBackward()], VirtualStages = [1], Spread = 0 };
        var choice = Planner.Find(request).Choice! with { NodeOfRank = [1, 0] };
        var plan = AutomaticPlan.Of(bound, world, choice, []);
        Assert.Equal(["akka.tcp://pipeline@b:1", "akka.tcp://pipeline@a:1"], plan.Nodes);
        var text = ConfigurationPrinter.Hocon(plan.Explicit().Configuration, withOrigins: false);
        var read = RunSettingsBinder.Resume(ConfigurationLayer.FromHocon("the submitted run", text), ConfigurationSources.None).Settings;
        Assert.Equal(plan.Nodes, read.PlannedNodes);
        Assert.Equal([1, 0.5], read.PlannedSpeeds!);
        Assert.Equal(choice.RankBusy.Length, read.PlannedTimes!.Count);
        Assert.All(choice.RankBusy.Zip(read.PlannedTimes), times => Assert.Equal(times.First, times.Second, 8));
        Assert.Equal(plan.UnitSeconds.Count, read.PlannedUnits!.Count);
        Assert.All(plan.UnitSeconds.Zip(read.PlannedUnits), times => Assert.Equal(times.First, times.Second, 8));

        foreach (var (given, wrong) in new[] { ("planned-nodes", "a,b"), ("planned-units", "1,1"), ("planned-speeds", "1,1,1") })
        {
            var refusal = Assert.Throws<ConfigurationException>(() => RunSettingsBinder.Resolve(ConfigurationSources.None with { Assignments = ConfigurationLayer.FromAssignments([$"{given}=\"{wrong}\""]) }));
            Assert.Contains($"pipeline.{given}", refusal.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>The settings of a step as a node has them: from the text that is sent to it.</summary>
    private static StepSettings Read(BoundConfiguration bound) =>
        RunSettingsBinder.Resume(ConfigurationLayer.FromHocon("the submitted run", ConfigurationPrinter.Hocon(bound.Configuration, withOrigins: false)), ConfigurationSources.None).Settings.Step;
}
