using Pipeline.Model.Training;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;

namespace Pipeline.Cli.Configuration;

/// <summary>Settings of replicas, reduction and compression that do not go together, or that others would ignore.</summary>
internal static class ReductionConflicts
{
    public static IEnumerable<ConfigurationFault> In(ResolvedConfiguration configuration, RunSettings settings, Func<Setting, bool> isChanged)
    {
        var (step, reduction) = (settings.Step, settings.Reduction);
        if (step.MicroBatchCount % step.ReplicaCount != 0)
            yield return Fault(SettingsSchema.MicroBatches, $"Expected a multiple of {SettingsSchema.DataAxis}, {step.ReplicaCount} replicas, which share them evenly; found {step.MicroBatchCount}. Change either.");

        foreach (var fault in UnevenStageConflicts.In(configuration, settings)) yield return fault;

        var staysAlone = step.ReplicaCount == 1 && step.MostReplicas is null or 1;
        foreach (var setting in ReductionKeys.OfReplicas.Where(setting => staysAlone && isChanged(setting)))
            yield return Fault(setting, $"It would be ignored: with one replica nothing is reduced. Leave it out, or raise {SettingsSchema.DataAxis}.");

        if (staysAlone && isChanged(SettingsSchema.Elastic))
            yield return Fault(SettingsSchema.Elastic, $"It would be ignored: one replica cannot become fewer. Leave it out, or raise {SettingsSchema.DataAxis} or {SettingsSchema.MostReplicas}.");

        foreach (var fault in OfGrowth(configuration, settings)) yield return fault;

        if (step.ReplicaCount > 1 && settings.Elastic is ElasticChoice.On && !ScheduleChoice.IsGenerated(step))
            yield return Fault(SettingsSchema.Elastic, $"Expected auto or off beside a schedule from a file, which is for one share of the micro-batches. Set that, or {SettingsSchema.Schedule} to one of {ScheduleCatalog.Names}.");

        if (step.ReplicaCount > 1 && reduction.Topology != ReductionTopology.Hierarchical && isChanged(ReductionKeys.GroupSize))
            yield return Fault(ReductionKeys.GroupSize, $"It would be ignored: only {ReductionKeys.Topology} = hierarchical has groups. Leave it out, or set that.");

        if (step.ReplicaCount > 1 && reduction.Topology != ReductionTopology.Hierarchical && isChanged(ReductionKeys.Groups))
            yield return Fault(ReductionKeys.Groups, $"It would be ignored: only {ReductionKeys.Topology} = hierarchical has groups. Leave it out, or set that.");

        if (isChanged(ReductionKeys.Groups) && isChanged(ReductionKeys.GroupSize))
            yield return Fault(ReductionKeys.GroupSize, $"It would be ignored: {ReductionKeys.Groups} says who forms a group. Leave it out, or set {ReductionKeys.Groups} to size.");

        if (reduction.Groups is { } groups && groups.ReplicaCount != step.ReplicaCount)
            yield return Fault(ReductionKeys.Groups, $"Expected each of the {step.ReplicaCount} replicas of {SettingsSchema.DataAxis} in one group; found {groups.ReplicaCount}. Name them all, from 0 on.");

        if (step.ReplicaCount > 1 && configuration.Get(SettingsSchema.Plan) == PlanKind.Auto)
            yield return Fault(SettingsSchema.Plan, $"Expected none beside {SettingsSchema.DataAxis} above 1: the planner plans one pipeline. Ask `pipeline plan` for one with a replica's micro-batches, and set what it says.");

        if (step.ReplicaCount > 1 && isChanged(SimulationKeys.Replicas))
            yield return Fault(SimulationKeys.Replicas, $"Expected 1 beside {SettingsSchema.DataAxis} above 1, which says how many replicas there are. Leave one of them out.");

        if (step.MostStages == 1 && isChanged(ReductionKeys.Activations))
            yield return Fault(ReductionKeys.Activations, $"It would be ignored: with one stage no activation travels. Leave it out, or raise {SettingsSchema.Stages}.");

        if (step.OptimizerShardCount != 1 && step.OptimizerShardCount != step.ReplicaCount)
            yield return Fault(SettingsSchema.OptimizerAxis, $"Expected 1 or the {step.ReplicaCount} of {SettingsSchema.DataAxis}: each replica holds one shard. Found {step.OptimizerShardCount}.");

        if (step.GradientShardCount > 1 && reduction.Topology != ReductionTopology.Sharded)
            yield return Fault(ReductionKeys.Topology, $"Expected sharded beside {SettingsSchema.GradientAxis} above 1: each micro-batch's gradient goes straight to whoever owns it. Set that, or {SettingsSchema.GradientAxis} to 1.");

        if (step.OptimizerShardCount > 1 && reduction.Answers.Kind != CompressionKind.None && isChanged(ReductionKeys.ErrorFeedback))
        {
            yield return Fault(ReductionKeys.ErrorFeedback, $"Expected true beside {SettingsSchema.OptimizerAxis} above 1 and {ReductionKeys.Answer}: the owner of a weight has all of it, and sends what the others lack. "
                + $"Set that, or {ReductionKeys.Answer} to none.");
        }

        if (reduction.IsLossy && settings.Summation == Summation.Invariant)
            yield return Fault(SettingsSchema.Summation, $"Expected fast beside a compression that loses something: what is lost depends on the number of replicas. Set {ReductionKeys.Kind} and {ReductionKeys.Answer} to none, or this to fast.");

        ConfigurationFault Fault(Setting setting, string sentence) => new(setting.FullPath, configuration.OriginOf(setting), sentence);
    }

    private static IEnumerable<ConfigurationFault> OfGrowth(ResolvedConfiguration configuration, RunSettings settings)
    {
        var (step, reduction) = (settings.Step, settings.Reduction);
        if (step.MostReplicas is not null && (!settings.IsElastic || reduction.Outer is not null || !ScheduleChoice.IsGenerated(step)))
            yield return Fault(SettingsSchema.MostReplicas, $"It would be ignored: only an elastic run has more replicas than it begins with. Leave it out, or set {SettingsSchema.Elastic} to on, {SettingsSchema.DataAxis} or this above 1, "
                + $"a schedule that is generated and replicas that are alike, without {ReductionKeys.LocalSteps}.");
        else if (step is { ReplicaCount: 1, MostReplicas: > 1 } && settings.Summation != Summation.Invariant)
            yield return Fault(SettingsSchema.MostReplicas, $"Expected 1 or null beside one replica that adds up as fast does: it keeps no sums that others could complete. Set {SettingsSchema.Summation} to invariant, or {SettingsSchema.DataAxis} above 1.");
        else if (step is { ReplicaCount: 1, MostReplicas: > 1 } && reduction.Topology == ReductionTopology.Coordinator)
            yield return Fault(ReductionKeys.Topology, $"Expected sharded or hierarchical beside one replica that may become several: the ranks that add up beside the replicas are placed when the run begins. Change it, or set {SettingsSchema.DataAxis} above 1.");
        else if (step.MostReplicas is { } most && (most < step.ReplicaCount || most > step.MicroBatchCount))
            yield return Fault(SettingsSchema.MostReplicas, $"Expected from the {step.ReplicaCount} of {SettingsSchema.DataAxis} to the {step.MicroBatchCount} micro-batches of a step, of which each replica computes one at least; found {most}.");

        ConfigurationFault Fault(Setting setting, string sentence) => new(setting.FullPath, configuration.OriginOf(setting), sentence);
    }
}
