namespace Pipeline.Cli.Configuration;

/// <summary>A resolved configuration with the records bound from it.</summary>
/// <param name="Configuration">Every key with its origin.</param>
/// <param name="Settings">The same values as records.</param>
public sealed record BoundConfiguration(ResolvedConfiguration Configuration, RunSettings Settings);

/// <summary>Binds a resolved configuration to records, and refuses values that are fine alone but not together.</summary>
public static class RunSettingsBinder
{
    /// <summary>Resolves and binds the settings of a fresh run.</summary>
    /// <exception cref="ConfigurationException">Anything is wrong with them.</exception>
    public static BoundConfiguration Resolve(ConfigurationSources sources) => Bind(ConfigurationResolver.Resolve(sources));

    /// <summary>Resolves and binds the settings of a resumed run.</summary>
    /// <exception cref="ConfigurationException">Anything is wrong with them, or they change what a resumed run keeps.</exception>
    public static BoundConfiguration Resume(ConfigurationLayer stored, ConfigurationSources sources) =>
        Bind(ConfigurationResolver.Resume(stored, sources));

    /// <summary>Binds.</summary>
    public static BoundConfiguration Bind(ResolvedConfiguration from)
    {
        List<ConfigurationFault> faults = [];
        RunSettings settings = new()
        {
            Preset = from.Get(SettingsSchema.Preset),
            Seed = from.Get(SettingsSchema.Seed),
            Precision = from.Get(SettingsSchema.Precision),
            Device = from.Get(SettingsSchema.Device),
            Data = Corpus(from),
            Step = Step(from),
            Checkpoint = new(from.Count(CheckpointKeys.Every), from.Count(CheckpointKeys.Keep)),
            Run = Cadences(from),
            Link = from.Get(SettingsSchema.Link),
            ThreadsPerStage = from.Count(SettingsSchema.Threads),
        };
        if (faults.Count > 0) throw new ConfigurationException(faults);
        return new(from, settings);
    }

    private static CorpusSettings Corpus(ResolvedConfiguration from) => new()
    {
        Path = from.Get(DataKeys.Path),
        TextField = from.Get(DataKeys.TextField),
        Tokenizer = from.Get(DataKeys.Tokenizer),
        HoldOut = from.Get(DataKeys.HoldOut),
        Cache = from.Get(DataKeys.Cache),
    };

    private static StepSettings Step(ResolvedConfiguration from) => new()
    {
        Schedule = from.Get(SettingsSchema.Schedule),
        StageCount = from.Count(SettingsSchema.Stages),
        MicroBatchCount = from.Count(SettingsSchema.MicroBatches),
        MicroBatchSize = from.Count(SettingsSchema.MicroBatchSize),
    };

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
    };
}
