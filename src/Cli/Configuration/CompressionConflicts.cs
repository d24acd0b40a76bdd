using Pipeline.Model.Training;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;

namespace Pipeline.Cli.Configuration;

/// <summary>Settings that mean nothing beside the chosen kind of compression, or that replicas cannot follow.</summary>
internal static class CompressionConflicts
{
    public static IEnumerable<ConfigurationFault> In(ResolvedConfiguration configuration, RunSettings settings, Func<Setting, bool> isChanged)
    {
        foreach (var fault in Unfollowed(configuration, settings).Concat(OfFreedGradients(configuration, settings)).Concat(OfLocalSteps(configuration, settings, isChanged)).Concat(OfLoans(configuration, settings, isChanged))) yield return fault;

        var between = settings.Step.ReplicaCount > 1 || settings.Step.MostReplicas > 1 ? new[] { settings.Reduction.Contributions.Kind, settings.Reduction.Answers.Kind } : [];
        var everywhere = settings.Step.MostStages > 1 ? [.. between, settings.Reduction.Activations.Kind] : between;
        if (!everywhere.Any(IsRounded) && isChanged(ReductionKeys.Rounding))
            yield return Unused(ReductionKeys.Rounding, "only bf16, int8 and int4 round");

        // With one replica all of these are refused already, with the same remedy.
        if (between.Length == 0) yield break;
        if (!between.Contains(CompressionKind.TopK) && isChanged(ReductionKeys.Share)) yield return Unused(ReductionKeys.Share, "only top-k sends a share");
        if (!between.Contains(CompressionKind.PowerSgd) && isChanged(ReductionKeys.Rank)) yield return Unused(ReductionKeys.Rank, "only power-sgd has a rank");
        if (settings.Optimizer.FrozenAfter == 0)
        {
            yield return new(ReductionKeys.Warmup.FullPath, configuration.OriginOf(ReductionKeys.Warmup),
                $"Expected at least 1 beside second moments that are frozen: they stay as these first, uncompressed steps leave them. Found 0. Raise it, or set {ReductionKeys.SecondMoment} to follow.");
        }

        if (settings.Reduction.Trial is { } trial && trial.Last > settings.Run.StepCount)
        {
            yield return new(ReductionKeys.Kind.FullPath, configuration.OriginOf(ReductionKeys.Kind),
                $"Expected another kind than auto, which decides after step {trial.Last}: the run has {settings.Run.StepCount}. Lower {ReductionKeys.Warmup}, or name a kind.");
        }

        if (settings.Reduction.Trial is not null && settings.Optimizer.FrozenAfter is not null)
        {
            yield return new(ReductionKeys.SecondMoment.FullPath, configuration.OriginOf(ReductionKeys.SecondMoment),
                $"Expected follow beside {ReductionKeys.Kind} = auto: moments would stay frozen also where the trial turns compression off. Set that, or name a kind.");
        }

        if (between.Any(kind => kind != CompressionKind.None)) yield break;
        if (isChanged(ReductionKeys.SecondMoment)) yield return Unused(ReductionKeys.SecondMoment, "what is not compressed needs no frozen moments");
        if (isChanged(ReductionKeys.ErrorFeedback)) yield return Unused(ReductionKeys.ErrorFeedback, "what is not compressed loses nothing");
        if (isChanged(ReductionKeys.Warmup)) yield return Unused(ReductionKeys.Warmup, "nothing is compressed after it either");

        ConfigurationFault Unused(Setting setting, string why) =>
            new(setting.FullPath, configuration.OriginOf(setting), $"It would be ignored: {why}. Leave it out, or set {ReductionKeys.Kind} or {ReductionKeys.Answer} to a kind that uses it.");
    }

    private static IEnumerable<ConfigurationFault> Unfollowed(ResolvedConfiguration configuration, RunSettings settings)
    {
        if (settings.Step.ReplicaCount == 1 && settings.Summation == Summation.Fast) yield break;
        if (settings.Step.Barrier == OptimizerBarrier.Off)
        {
            yield return new(SettingsSchema.Barrier.FullPath, configuration.OriginOf(SettingsSchema.Barrier),
                $"It would be ignored: replicas, and invariant sums, wait for the norm of each step, since what they have sent each other cannot be taken back. Set auto, or {SettingsSchema.DataAxis} to 1 and {SettingsSchema.Summation} to fast.");
        }

        if (settings.Device != "cpu")
        {
            yield return new(SettingsSchema.Device.FullPath, configuration.OriginOf(SettingsSchema.Device),
                $"Expected cpu beside replicas or invariant sums: this build adds gradients up in the memory of the host; found {settings.Device}. Set cpu, or {SettingsSchema.DataAxis} to 1 and {SettingsSchema.Summation} to fast.");
        }
    }

    private static IEnumerable<ConfigurationFault> OfFreedGradients(ResolvedConfiguration configuration, RunSettings settings)
    {
        var step = settings.Step;
        if (step.GradientShardCount == 1) yield break;
        if (step.GradientShardCount != step.ReplicaCount || step.OptimizerShardCount != step.ReplicaCount)
        {
            yield return new(SettingsSchema.GradientAxis.FullPath, configuration.OriginOf(SettingsSchema.GradientAxis),
                $"Expected 1, or as many as {SettingsSchema.DataAxis} and {SettingsSchema.OptimizerAxis}, which are {step.ReplicaCount} and {step.OptimizerShardCount}: whoever adds a gradient up updates its weight. Found {step.GradientShardCount}.");
        }

        if (!settings.Reduction.Overlaps)
        {
            yield return new(ReductionKeys.Overlap.FullPath, configuration.OriginOf(ReductionKeys.Overlap),
                $"Expected true beside {SettingsSchema.GradientAxis} above 1: a gradient that nobody keeps cannot be sent later. Set that, or {SettingsSchema.GradientAxis} to 1.");
        }
    }

    private static IEnumerable<ConfigurationFault> OfLocalSteps(ResolvedConfiguration configuration, RunSettings settings, Func<Setting, bool> isChanged)
    {
        if (settings.Step.ReplicaCount == 1) yield break;
        if (settings.Reduction.Outer is null)
        {
            foreach (var setting in new Setting[] { ReductionKeys.OuterLearningRate, ReductionKeys.OuterMomentum }.Where(isChanged))
                yield return Fault(setting, $"It would be ignored: there is no outer step where the gradients of each step are added up. Leave it out, or raise {ReductionKeys.LocalSteps}.");
            yield break;
        }

        if (settings.Reduction.Trial is not null)
            yield return Fault(ReductionKeys.Kind, $"Expected another kind than auto beside {ReductionKeys.LocalSteps} above 1: a trial compares steps, and most of these exchange nothing. Name one.");
        if (settings.Elastic == ElasticChoice.On)
            yield return Fault(SettingsSchema.Elastic, $"Expected auto or off beside {ReductionKeys.LocalSteps} above 1: each replica has weights and moments of its own, which no other can go on with. Set that, or {ReductionKeys.LocalSteps} to 1.");
        if (settings.Summation == Summation.Invariant)
            yield return Fault(SettingsSchema.Summation, $"Expected fast beside {ReductionKeys.LocalSteps} above 1: what replicas do by themselves depends on their number. Set that, or {ReductionKeys.LocalSteps} to 1.");
        if (settings.Step.OptimizerShardCount > 1)
            yield return Fault(SettingsSchema.OptimizerAxis, $"Expected 1 beside {ReductionKeys.LocalSteps} above 1: each replica takes steps, and has moments, of its own. Set that, or {ReductionKeys.LocalSteps} to 1.");
        if (settings.Optimizer.FrozenAfter is not null)
            yield return Fault(ReductionKeys.SecondMoment, $"Expected follow beside {ReductionKeys.LocalSteps} above 1: no compressed gradient comes into the moments. Set that, or {ReductionKeys.LocalSteps} to 1.");
        if (isChanged(ReductionKeys.Overlap))
            yield return Fault(ReductionKeys.Overlap, $"It would be ignored: with {ReductionKeys.LocalSteps} above 1 nothing is sent while backward goes on. Leave it out.");

        ConfigurationFault Fault(Setting setting, string sentence) => new(setting.FullPath, configuration.OriginOf(setting), sentence);
    }

    /// <summary>Whoever alters what was computed, or has it elsewhere, sends something else than what lies in the gradient.</summary>
    private static IEnumerable<ConfigurationFault> OfLoans(ResolvedConfiguration configuration, RunSettings settings, Func<Setting, bool> isChanged)
    {
        var (step, reduction) = (settings.Step, settings.Reduction);
        // Sums of leaves lie elsewhere, and what several replicas are answered is one copy for all.
        var lends = settings.Summation == Summation.Fast || (step.ReplicaCount == 2 && reduction.Topology != ReductionTopology.Coordinator);
        // With one replica it is refused already.
        if (step.ReplicaCount == 1 || (lends && step.OptimizerShardCount == 1 && !reduction.IsLossy) || !isChanged(ReductionKeys.LendFrom)) yield break;
        yield return new(ReductionKeys.LendFrom.FullPath, configuration.OriginOf(ReductionKeys.LendFrom),
            "It would be ignored: only replicas that compress nothing, share no optimizer state out and add up as fast does, or are two, send gradients from where they lie. Leave it out.");
    }

    private static bool IsRounded(CompressionKind kind) => kind is CompressionKind.BFloat16 or CompressionKind.Int8 or CompressionKind.Int4;
}
