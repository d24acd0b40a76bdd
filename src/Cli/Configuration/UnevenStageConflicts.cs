using Pipeline.Coordinator;
using Pipeline.Schedules;

namespace Pipeline.Cli.Configuration;

/// <summary>What does not go with replicas that have numbers of stages of their own.</summary>
internal static class UnevenStageConflicts
{
    public static IEnumerable<ConfigurationFault> In(ResolvedConfiguration configuration, RunSettings settings)
    {
        var step = settings.Step;
        if (step.StagesPerReplica is not { } counts) yield break;
        if (step.ReplicaCount == 1)
        {
            yield return Fault(SettingsSchema.StagesPerReplica, $"It would be ignored: there is one replica. Leave it out, or raise {SettingsSchema.DataAxis}.");
            yield break;
        }

        if (counts.Count != step.ReplicaCount || counts[0] != step.StageCount)
        {
            yield return Fault(SettingsSchema.StagesPerReplica, $"Expected {step.ReplicaCount} numbers, one for each replica of {SettingsSchema.DataAxis}, the first {step.StageCount} as {SettingsSchema.Stages} says; "
                + $"found {string.Join(',', counts)}. Make them agree.");
        }

        if (!step.IsUneven) yield break;
        if (!ScheduleChoice.IsGenerated(step))
            yield return Fault(SettingsSchema.Schedule, $"Expected one of {ScheduleCatalog.Names} beside {SettingsSchema.StagesPerReplica}: a schedule from a file is for one number of stages. Name one, or leave that out.");

        if (step.Partition is not null)
            yield return Fault(SettingsSchema.Partition, $"Expected null beside {SettingsSchema.StagesPerReplica}: it is for one number of stages. Leave one of them out.");

        if (step.MostReplicas is not null)
            yield return Fault(SettingsSchema.MostReplicas, $"It would be ignored beside {SettingsSchema.StagesPerReplica}, which says what replicas there are at most. Leave one of them out.");

        if (step.Rebalance.Kind is RebalanceKind.Auto)
            yield return Fault(SettingsSchema.Rebalance, $"It would be ignored beside {SettingsSchema.StagesPerReplica}: replicas with stages of their own are not divided anew. Set none or propose, or leave that out.");

        ConfigurationFault Fault(Setting setting, string sentence) => new(setting.FullPath, configuration.OriginOf(setting), sentence);
    }
}
