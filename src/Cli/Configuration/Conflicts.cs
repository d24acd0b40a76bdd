using Pipeline.Model;

namespace Pipeline.Cli.Configuration;

/// <summary>Values that are fine alone but not together, and values that would be ignored beside others.</summary>
internal static class Conflicts
{
    public static IEnumerable<ConfigurationFault> In(ResolvedConfiguration configuration, RunSettings settings)
    {
        foreach (var fault in SecurityKeys.Faults(configuration)) yield return fault;

        var isInS3 = configuration.Get(CheckpointKeys.Store) == CheckpointStoreKind.S3;
        if (isInS3 && settings.Checkpoint.Bucket is null)
            yield return new(CheckpointKeys.Bucket.FullPath, configuration.OriginOf(CheckpointKeys.Bucket), $"Expected the name of a bucket, since {CheckpointKeys.Store} = s3; found none.");
        foreach (var key in new[] { CheckpointKeys.Bucket, CheckpointKeys.Prefix, CheckpointKeys.Endpoint, CheckpointKeys.Region })
        {
            if (!isInS3 && IsChanged(configuration, key))
                yield return new(key.FullPath, configuration.OriginOf(key), $"It would be ignored: only {CheckpointKeys.Store} = s3 uses it. Leave it out, or set that.");
        }

        foreach (var sentence in settings.Model.Faults()) yield return new("pipeline.model", null, sentence);
        foreach (var fault in OfReplicas(configuration, settings).Concat(OfPlannedTimes(configuration, settings))) yield return fault;

        if (settings.Step.Recompute.UnitCount is { } named && DecoderTransformer.UnitCount(settings.Model) is var unitCount && named != unitCount)
            yield return new(SettingsSchema.Recompute.FullPath, configuration.OriginOf(SettingsSchema.Recompute),
                $"Expected parts for the {unitCount} units of the model (embedding, two for each layer, head), found {named}. Make them agree, or give one word for all.");

        if (settings.Step.RankMemory is not null && settings.Simulation.NodeCount is not null)
            yield return new(SettingsSchema.RankMemory.FullPath, configuration.OriginOf(SettingsSchema.RankMemory),
                $"It would be ignored: with {SimulationKeys.Nodes} described nodes are reckoned with, and what they have is {SimulationKeys.DeviceMemory}. Leave one of them out.");

        if (settings.Optimizer.Warmup > settings.Optimizer.Horizon)
            yield return new(OptimizerKeys.Warmup.FullPath, configuration.OriginOf(OptimizerKeys.Warmup),
                $"Expected at most the horizon, {settings.Optimizer.Horizon} steps; found {settings.Optimizer.Warmup}. Shorten it, or raise {OptimizerKeys.Horizon}.");

        var isOnDisk = configuration.Get(ProtectionKeys.Kind) == ProtectionChoice.Disk;
        if (isOnDisk && configuration.Get(ProtectionKeys.Folder) is null)
            yield return new(ProtectionKeys.Folder.FullPath, configuration.OriginOf(ProtectionKeys.Folder),
                $"Expected the path of a folder that all nodes share, since {ProtectionKeys.Kind} = disk; found null. Name one, or set memory.");
        if (!isOnDisk && IsChanged(configuration, ProtectionKeys.Folder))
            yield return new(ProtectionKeys.Folder.FullPath, configuration.OriginOf(ProtectionKeys.Folder),
                $"It would be ignored: only {ProtectionKeys.Kind} = disk uses it. Leave it out, or set that.");

        if (settings.Model.Positions != PositionKind.Rope && IsChanged(configuration, ModelKeys.RopeBase))
            yield return new(ModelKeys.RopeBase.FullPath, configuration.OriginOf(ModelKeys.RopeBase),
                $"It would be ignored: only {ModelKeys.Positions} = rope uses it. Leave it out, or set that.");

        if (settings.Model.HeadSlices > 1 && IsChanged(configuration, ReductionKeys.Activations))
            yield return new(ReductionKeys.Activations.FullPath, configuration.OriginOf(ReductionKeys.Activations),
                $"Expected none with {ModelKeys.HeadSlices} = {settings.Model.HeadSlices}: what the head's units hand on holds sums that must arrive to the bit.");

        if (configuration.Get(SettingsSchema.Plan) is PlanKind.Auto)
        {
            foreach (var setting in (Setting[])[SettingsSchema.Schedule, SettingsSchema.VirtualStages, SettingsSchema.Recompute, SettingsSchema.MemoryCredit, SettingsSchema.OrderCosts, SettingsSchema.Partition])
            {
                if (IsChanged(configuration, setting))
                    yield return new(setting.FullPath, configuration.OriginOf(setting), $"It would be ignored: {SettingsSchema.Plan} = auto chooses it. Leave it out, or set {SettingsSchema.Plan} to none.");
            }
        }

        foreach (var setting in (Setting[])[SettingsSchema.MemoryCredit, SettingsSchema.OrderCosts])
        {
            if (settings.Step.Schedule != "greedy" && IsChanged(configuration, setting))
                yield return new(setting.FullPath, configuration.OriginOf(setting), $"It would be ignored: only {SettingsSchema.Schedule} = greedy uses it. Leave it out, or set that.");
        }
    }

    private static IEnumerable<ConfigurationFault> OfPlannedTimes(ResolvedConfiguration configuration, RunSettings settings)
    {
        if (settings.PlannedTimes is { } times && (settings.Step.Partition is null || times.Count != settings.Step.StageCount))
            yield return new(SettingsSchema.PlannedTimes.FullPath, configuration.OriginOf(SettingsSchema.PlannedTimes),
                $"Expected {settings.Step.StageCount} times, one for each rank, together with {SettingsSchema.Partition}: they are those of a plan's stages. Leave it out, or give both.");
        var rankCount = settings.Step.StageCount;
        foreach (var (setting, count, expected) in new (Setting, int?, int)[]
        {
            (SettingsSchema.PlannedUnits, settings.PlannedUnits?.Count, settings.Step.Partition?.Sum() ?? -1),
            (SettingsSchema.PlannedSpeeds, settings.PlannedSpeeds?.Count, rankCount),
            (SettingsSchema.PlannedNodes, settings.PlannedNodes?.Count, rankCount * settings.Step.ReplicaCount),
        })
        {
            if (count is { } found && (found != expected || settings.PlannedTimes is null))
                yield return new(setting.FullPath, configuration.OriginOf(setting),
                    $"Expected {(expected < 0 ? "as many as there are units" : $"{expected}")}, together with {SettingsSchema.PlannedTimes}, of whose plan it is a part; found {found}. Leave it out, or give what belongs together.");
        }
    }

    private static IEnumerable<ConfigurationFault> OfReplicas(ResolvedConfiguration configuration, RunSettings settings) =>
        ReductionConflicts.In(configuration, settings, setting => IsChanged(configuration, setting))
            .Concat(CompressionConflicts.In(configuration, settings, setting => IsChanged(configuration, setting)));

    /// <summary>Whether a key has another value than the reference gives it, wherever the value came from.</summary>
    private static bool IsChanged(ResolvedConfiguration configuration, Setting setting) =>
        configuration.TextOf(setting) != Defaults.Value.TextOf(setting);

    private static readonly Lazy<ResolvedConfiguration> Defaults = new(() => ConfigurationResolver.Resolve(ConfigurationSources.None));
}
