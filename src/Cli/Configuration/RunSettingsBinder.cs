using System.Globalization;
using Pipeline.Coordinator;
using Pipeline.Data;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Protocol;

namespace Pipeline.Cli.Configuration;

/// <summary>A resolved configuration with the records bound from it.</summary>
/// <param name="Configuration">Every key with its origin.</param>
/// <param name="Settings">The same values as records.</param>
public sealed record BoundConfiguration(ResolvedConfiguration Configuration, RunSettings Settings);

/// <summary>Binds a resolved configuration to records, and refuses values that are fine alone but not together.</summary>
public static class RunSettingsBinder
{
    private const long LongestDefaultWarmup = 100;

    /// <summary>Resolves and binds the settings of a fresh run.</summary>
    /// <exception cref="ConfigurationException">Anything is wrong with them.</exception>
    public static BoundConfiguration Resolve(ConfigurationSources sources) => Bind(ConfigurationResolver.Resolve(sources));

    /// <summary>Resolves and binds the settings of a resumed run.</summary>
    /// <exception cref="ConfigurationException">Anything is wrong with them, or they change what a resumed run keeps.</exception>
    public static BoundConfiguration Resume(ConfigurationLayer stored, ConfigurationSources sources)
    {
        var resumed = ConfigurationResolver.Resume(stored, sources);
        if (resumed.Get(SettingsSchema.Summation) == Summation.Fast)
        {
            var before = ConfigurationResolver.Resume(stored, ConfigurationSources.None);
            ConfigurationFault[] changed = [.. new[] { SettingsSchema.DataAxis, SettingsSchema.GradientAxis }.Where(axis => before.Get(axis) != resumed.Get(axis)).Select(axis => new ConfigurationFault(
                axis.FullPath, resumed.OriginOf(axis),
                $"A resumed run keeps its {before.Get(axis)} {(axis == SettingsSchema.DataAxis ? "replicas" : "shards of the gradient")} unless {SettingsSchema.Summation} = invariant, which gives the same bits for any number; found {resumed.Get(axis)}. Leave it out, or start a new run."))];
            if (changed.Length > 0) throw new ConfigurationException(changed);
        }

        return Bind(resumed);
    }

    /// <summary>
    /// Replaces what was left to the program by what it chose, so that the stored configuration of a run says everything: the
    /// horizon stays when a resumed run goes further, and the precision when it goes on elsewhere.
    /// </summary>
    /// <param name="bound">A fresh configuration.</param>
    /// <param name="isBf16Fast">Measures; asked only where precision is auto.</param>
    public static BoundConfiguration Settle(BoundConfiguration bound, Func<bool> isBf16Fast)
    {
        var (configuration, settings) = bound;
        var precision = configuration.Get(SettingsSchema.Precision);
        if (precision == PrecisionChoice.Auto)
        {
            var choice = isBf16Fast() ? PrecisionChoice.Bf16 : PrecisionChoice.Fp32;
            configuration = configuration.With(SettingsSchema.Precision, choice, new("chosen by the speed of this machine"));
        }

        // A run may be resumed from another folder.
        if (configuration.Get(DataKeys.Path) is { } corpus)
            configuration = configuration.With(DataKeys.Path, Path.GetFullPath(corpus), configuration.OriginOf(DataKeys.Path));
        configuration = configuration.WithChoice(OptimizerKeys.Horizon, settings.Optimizer.Horizon, new("chosen: run.steps of the first start"));
        configuration = configuration.WithChoice(OptimizerKeys.Warmup, settings.Optimizer.Warmup, new("chosen: a tenth of the horizon"));
        configuration = configuration.WithChoice(ModelKeys.KeyValueHeads, settings.Model.KeyValueHeads, new("chosen: model.heads"));
        return Bind(configuration);
    }

    /// <summary>Binds.</summary>
    /// <exception cref="ConfigurationException">Values do not go together.</exception>
    public static BoundConfiguration Bind(ResolvedConfiguration from)
    {
        RunSettings settings = new()
        {
            Preset = from.Get(SettingsSchema.Preset),
            Seed = from.Get(SettingsSchema.Seed),
            Precision = from.Get(SettingsSchema.Precision),
            Device = from.Get(SettingsSchema.Device),
            Model = Model(from),
            Optimizer = Optimizer(from),
            Data = Corpus(from),
            DataContent = from.Get(DataKeys.Content),
            Step = Step(from),
            Checkpoint = new(from.Count(CheckpointKeys.Every), from.Count(CheckpointKeys.Keep), from.Get(CheckpointKeys.Bucket), from.Get(CheckpointKeys.Prefix),
                from.Get(CheckpointKeys.Endpoint), from.Get(CheckpointKeys.Region)),
            Protection = Protection(from),
            Run = Cadences(from),
            Summation = from.Get(SettingsSchema.Summation),
            Reduction = ReductionKeys.Bind(from),
            Elastic = from.Get(SettingsSchema.Elastic),
            Profile = from.Get(SettingsSchema.Profile),
            PlannedTimes = NumbersOf(from.Get(SettingsSchema.PlannedTimes)),
            PlannedUnits = NumbersOf(from.Get(SettingsSchema.PlannedUnits)),
            PlannedSpeeds = NumbersOf(from.Get(SettingsSchema.PlannedSpeeds)),
            PlannedNodes = from.Get(SettingsSchema.PlannedNodes)?.Split(','),
            Simulation = SimulationSettings.From(from),
            Link = from.Get(SettingsSchema.Link),
            ThreadsPerStage = from.Count(SettingsSchema.Threads),
            Cluster = ClusterSettings.From(from),
            Telemetry = TelemetrySettings.From(from),
        };
        var faults = Conflicts.In(from, settings).ToArray();
        return faults.Length > 0 ? throw new ConfigurationException(faults) : new(from, settings);
    }

    private static double[]? NumbersOf(string? text) => text?.Split(',').Select(number => double.Parse(number, CultureInfo.InvariantCulture)).ToArray();

    private static ModelSettings Model(ResolvedConfiguration from) => new()
    {
        Layers = from.Count(ModelKeys.Layers),
        Width = from.Count(ModelKeys.Width),
        Heads = from.Count(ModelKeys.Heads),
        KeyValueHeads = (int)(from.Get(ModelKeys.KeyValueHeads) ?? from.Get(ModelKeys.Heads)),
        Context = from.Count(ModelKeys.Context),
        Vocabulary = from.Count(ModelKeys.Vocabulary),
        Tied = from.Get(ModelKeys.Tied),
        Dropout = from.Get(ModelKeys.Dropout),
        Norm = from.Get(ModelKeys.Norm),
        Positions = from.Get(ModelKeys.Positions),
        Activation = from.Get(ModelKeys.Activation),
        Bias = from.Get(ModelKeys.Bias),
        HeadSlices = (int)from.Get(ModelKeys.HeadSlices),
        MlpRatio = from.Get(ModelKeys.MlpRatio),
        RopeBase = from.Get(ModelKeys.RopeBase),
        NormEpsilon = from.Get(ModelKeys.NormEpsilon),
        InitialDeviation = from.Get(ModelKeys.InitialDeviation),
    };

    private static OptimizerSettings Optimizer(ResolvedConfiguration from)
    {
        var horizon = from.Get(OptimizerKeys.Horizon) ?? from.Get(RunKeys.Steps);
        var betas = from.Get(OptimizerKeys.Betas);
        return new()
        {
            LearningRate = from.Get(OptimizerKeys.LearningRate),
            MinimumLearningRateRatio = from.Get(OptimizerKeys.MinimumLearningRate),
            Warmup = (int)(from.Get(OptimizerKeys.Warmup) ?? Math.Min(LongestDefaultWarmup, horizon / 10)),
            Horizon = (int)horizon,
            Clip = from.Get(OptimizerKeys.Clip),
            WeightDecay = from.Get(OptimizerKeys.WeightDecay),
            Beta1 = betas[0],
            Beta2 = betas[1],
            Epsilon = from.Get(OptimizerKeys.Epsilon),
            FrozenAfter = ReductionKeys.FrozenAfter(from),
        };
    }

    private static DataSettings Corpus(ResolvedConfiguration from) => new()
    {
        Path = from.Get(DataKeys.Path),
        TextField = from.Get(DataKeys.TextField),
        Tokenizer = from.Get(DataKeys.Tokenizer),
        HoldOut = from.Get(DataKeys.HoldOut),
        ContextLength = from.Count(ModelKeys.Context),
        CacheFolder = from.Get(DataKeys.Cache) ?? DataSettings.DefaultCacheFolder(),
    };

    /// <summary>Within one process no other holds copies, so auto asks for memory always. Also of a run that takes no copies it is known how often it would.</summary>
    private static ProtectionDuties Protection(ResolvedConfiguration from) => from.Get(ProtectionKeys.Kind) switch
    {
        ProtectionChoice.None => ProtectionDuties.None with { Every = from.Count(ProtectionKeys.Every) },
        ProtectionChoice.Disk => new(ProtectionKind.Disk, from.Count(ProtectionKeys.Every), Path.GetFullPath(from.Get(ProtectionKeys.Folder) ?? ".")),
        _ => new(ProtectionKind.Memory, from.Count(ProtectionKeys.Every), ""),
    };

    private static StepSettings Step(ResolvedConfiguration from) => new()
    {
        Schedule = from.Get(SettingsSchema.Schedule),
        VirtualStages = (int?)from.Get(SettingsSchema.VirtualStages),
        Recompute = from.Get(SettingsSchema.Recompute),
        RankMemory = from.Get(SettingsSchema.RankMemory),
        Barrier = from.Get(SettingsSchema.Barrier),
        MemoryCredit = (int?)from.Get(SettingsSchema.MemoryCredit),
        OrderCosts = from.Get(SettingsSchema.OrderCosts) is [var forward, var input, var weight] ? new(forward, input, weight) : null,
        Rebalance = new RebalancePolicy(from.Get(SettingsSchema.Rebalance), from.Count(SettingsSchema.RebalanceEvery)),
        Partition = Numbers(from.Get(SettingsSchema.Partition)),
        StageCount = from.Count(SettingsSchema.Stages),
        ReplicaCount = from.Count(SettingsSchema.DataAxis),
        MostReplicas = (int?)from.Get(SettingsSchema.MostReplicas),
        StagesPerReplica = Numbers(from.Get(SettingsSchema.StagesPerReplica)),
        OptimizerShardCount = from.Count(SettingsSchema.OptimizerAxis),
        GradientShardCount = from.Count(SettingsSchema.GradientAxis),
        MicroBatchCount = from.Count(SettingsSchema.MicroBatches),
        MicroBatchSize = from.Count(SettingsSchema.MicroBatchSize),
    };

    private static int[]? Numbers(string? text) => text?.Split(',').Select(count => int.Parse(count, CultureInfo.InvariantCulture)).ToArray();

    private static CadenceSettings Cadences(ResolvedConfiguration from) => new()
    {
        StepCount = from.Count(RunKeys.Steps),
        Directory = from.Get(RunKeys.Directory),
        EvaluateEvery = from.Count(RunKeys.EvaluateEvery),
        EvaluationBatchCount = from.Count(RunKeys.EvaluationBatches),
        DigestEvery = from.Count(RunKeys.DigestEvery),
        ProgressEvery = from.Count(RunKeys.ProgressEvery),
        TraceStepCount = from.Count(RunKeys.TraceSteps),
        SampleTokenCount = from.Count(RunKeys.SampleTokens),
        SkippedInRow = from.Count(RunKeys.SkippedInRow),
        IdenticalFailures = from.Count(RunKeys.IdenticalFailures),
    };
}
