using System.Globalization;
using Pipeline.Checkpoints;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Coordinator;
using Pipeline.Data;
using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Training;
using static TorchSharp.torch;

namespace Pipeline.Cli.Execution;

/// <summary>What a configured run computes with: its corpus as tokens, its units, its micro-batches. Owns the token files.</summary>
internal sealed class RunMaterials : IDisposable
{
    private const int WarmUpStepCount = 10;

    private const string CorpusProperty = "corpus";

    private RunMaterials(RunSettings settings, PreparedData data)
    {
        Settings = settings;
        Data = data;
        Units = DecoderTransformer.Units(settings.Model);
        var context = settings.Model.Context;
        Batches = new SampleBatchSource(
            new SampleSource(data.Training, context, (ulong)settings.Seed),
            new ValidationWindows(data.Validation, context),
            settings.Step.MicroBatchSize,
            settings.Step.MicroBatchCount);
    }

    public RunSettings Settings { get; }

    public PreparedData Data { get; }

    public IReadOnlyList<Unit> Units { get; }

    public SampleBatchSource Batches { get; }

    /// <summary>Samples of a micro-batch times their length.</summary>
    public long TokensPerMicroBatch => (long)Settings.Step.MicroBatchSize * Settings.Model.Context;

    /// <summary>Opens the corpus, preparing it if this is its first use.</summary>
    /// <exception cref="DataException">The corpus, the tokenizer or the cache needs the user.</exception>
    public static RunMaterials Prepare(RunSettings settings, CommandContext context, CancellationToken cancellation)
    {
        var progress = new Notices(context.Error);
        var data = DataPreparation.Prepare(settings.Data, settings.Model.Vocabulary, progress, cancellation);
        foreach (var notice in data.Notices) progress.Report(notice);
        try
        {
            if (settings.DataContent is { } expected && ContentOf(data) is var found && found != expected)
                throw new DataException($"The corpus {data.CorpusDescription} on {Environment.MachineName} is another one (content {found}) than where the run was submitted ({expected}). Give every node the same files under data.path.");
            return new RunMaterials(settings, data);
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    /// <summary>What every process of the run must find.</summary>
    public string Content => ContentOf(Data);

    /// <summary>The device of the stages.</summary>
    /// <exception cref="MachineException">It is a GPU that this build or machine does not have.</exception>
    public Device Device()
    {
        // Asked first: the library cannot even name a device of a kind that it was not built for.
        if (Settings.Device != "cpu" && !cuda.is_available())
            throw new MachineException($"device = {Settings.Device}, but no CUDA device can be used: build with -p:Torch=cuda on a machine with a GPU, or set device = cpu.");
        return device(Settings.Device);
    }

    /// <summary>The plan of the run.</summary>
    /// <param name="store">Where checkpoints go; null for none.</param>
    /// <param name="configuration">The resolved configuration, stored with every checkpoint.</param>
    /// <param name="resumeFrom">Step of the checkpoint to go on from; 0 for none.</param>
    public TrainingPlan Plan(ICheckpointStore? store, string configuration, long resumeFrom)
    {
        var (run, step) = (Settings.Run, Settings.Step);
        // In short runs the last steps: the first ones are slow while code is compiled and caches fill, and say little of the others.
        var firstTraced = Math.Min(resumeFrom + WarmUpStepCount + 1, Math.Max(resumeFrom + 1, run.StepCount - run.TraceStepCount + 1));
        return new TrainingPlan
        {
            Units = Units,
            Batches = Batches,
            Optimizer = Settings.Optimizer,
            Steps = run.StepCount,
            StageCount = step.StageCount,
            ReplicaCount = step.ReplicaCount,
            StagesPerReplica = step.IsUneven ? step.StagesPerReplica : null,
            SharesOptimizer = step.OptimizerShardCount > 1,
            SharesGradients = step.GradientShardCount > 1,
            Summation = Settings.Summation,
            Reduction = Settings.Reduction,
            ScheduleText = ScheduleText.Format(ScheduleChoice.For(step)),
            ScheduleOf = ScheduleChoice.IsGenerated(step) ? share => ScheduleChoice.For(step with { MicroBatchCount = share, ReplicaCount = 1 }) : null,
            ScheduleOver = ScheduleChoice.IsGenerated(step) ? stages => ScheduleChoice.For(step with { StageCount = stages }) : null,
            ScheduleFor = ScheduleChoice.IsGenerated(step) ? (stages, share) => ScheduleChoice.For(step with { StageCount = stages, MicroBatchCount = share, ReplicaCount = 1 }) : null,
            IsElastic = Settings.IsElastic,
            MostReplicas = step.MostReplicas,
            UnitCounts = step.Partition,
            Recompute = UnitRecomputations.Of(step.Recompute, Units.Count),
            Planned = Settings.PlannedTimes is { Count: > 0 } times && step.Partition is { } counts
                ? new PlannedTimes(counts, times) { UnitSeconds = Settings.PlannedUnits ?? [], RankSpeeds = Settings.PlannedSpeeds ?? [] }
                : null,
            PlannedNodes = Settings.PlannedNodes ?? [],
            Barrier = step.Barrier,
            Rebalance = step.Rebalance,
            Precision = Settings.Arithmetic(),
            Devices = [Device()],
            Seed = (ulong)Settings.Seed,
            ThreadsPerStage = Settings.ThreadsPerStage,
            Links = Settings.Link switch
            {
                LinkKind.Frames => TensorLinkKind.Frames,
                LinkKind.Unix => TensorLinkKind.Unix,
                LinkKind.Tcp => TensorLinkKind.Tcp,
                LinkKind.Akka => TensorLinkKind.Akka,
                _ => TensorLinkKind.Automatic,
            },
            // No interval means the end only, which every interval longer than the run gives.
            EvaluateEvery = run.EvaluateEvery > 0 ? run.EvaluateEvery : long.MaxValue,
            EvaluationMicroBatchCount = run.EvaluationBatchCount,
            Checkpoints = store is null ? null : new CheckpointPlan(store, Describe)
            {
                SaveEvery = Settings.Checkpoint.Every,
                KeepCount = Settings.Checkpoint.KeepCount,
                Texts = new Dictionary<string, string>(StringComparer.Ordinal) { ["config.conf"] = configuration },
            },
            ResumeFromStep = resumeFrom,
            Protection = Settings.Protection,
            NonFinite = new NonFinitePolicy(run.SkippedInRow, run.IdenticalFailures),
            Recording = run.TraceStepCount > 0
                ? new RecordingDuties(run.DigestEvery, firstTraced, firstTraced + run.TraceStepCount - 1)
                : new RecordingDuties(run.DigestEvery, 0, 0),
        };
    }

    /// <summary>Refuses a checkpoint that another model, tokenizer or corpus has written.</summary>
    /// <exception cref="CheckpointException">It does not belong to these settings; every difference is named.</exception>
    public void RequireMatch(CheckpointReader checkpoint)
    {
        var (stored, own) = (checkpoint.Manifest.Description, Describe(checkpoint.Step));
        List<string> faults = [.. own.Model.Where(pair => stored.Model.GetValueOrDefault(pair.Key) != pair.Value)
            .Select(pair => $"{pair.Key} is {stored.Model.GetValueOrDefault(pair.Key, "absent")} there and {pair.Value} here")];
        if (stored.TokenizerHash != own.TokenizerHash) faults.Add($"its tokenizer is {stored.TokenizerHash}, the run's is {own.TokenizerHash}");
        if (stored.Properties.GetValueOrDefault(CorpusProperty) is { } corpus && corpus != own.Properties[CorpusProperty])
            faults.Add("its corpus had another content");
        if (faults.Count == 0) return;
        throw new CheckpointException($"The checkpoint {checkpoint.Folder} does not belong to this run: {string.Join("; ", faults)}. "
            + "Restore the run's configuration and corpus, or start a new run with --run.");
    }

    public void Dispose() => Data.Dispose();

    private CheckpointDescription Describe(long step)
    {
        var samples = step * Settings.Step.SampleCount;
        return new CheckpointDescription
        {
            Seed = Settings.Seed,
            Model = Fingerprint(Settings.Model),
            TokenizerHash = Data.Tokenizer.Hash,
            Precision = Settings.Precision.ToString().ToLowerInvariant(),
            DataPosition = new DataPosition(step, samples, samples * Settings.Model.Context),
            Properties = new Dictionary<string, string>(StringComparer.Ordinal) { [CorpusProperty] = Data.CorpusHash },
        };
    }

    private static string ContentOf(PreparedData data) => $"{data.CorpusHash}-{data.Tokenizer.Hash}";

    private static Dictionary<string, string> Fingerprint(ModelSettings model) => new(StringComparer.Ordinal)
    {
        ["model.layers"] = Text(model.Layers),
        ["model.width"] = Text(model.Width),
        ["model.heads"] = Text(model.Heads),
        ["model.kv-heads"] = Text(model.KeyValueHeads),
        ["model.context"] = Text(model.Context),
        ["model.vocabulary"] = Text(model.Vocabulary),
        ["model.tied"] = Text(model.Tied),
        ["model.norm"] = Text(model.Norm),
        ["model.positions"] = Text(model.Positions),
        ["model.activation"] = Text(model.Activation),
        ["model.bias"] = Text(model.Bias),
        ["model.mlp-ratio"] = Text(model.MlpRatio),
    };

    private static string Text<T>(T value) => string.Create(CultureInfo.InvariantCulture, $"{value}").ToLowerInvariant();

    /// <summary>A notice comes while the corpus is prepared and stands in the prepared corpus: said once.</summary>
    private sealed class Notices(TextWriter writer) : IProgress<string>
    {
        private readonly HashSet<string> _said = new(StringComparer.Ordinal);

        public void Report(string value)
        {
            if (_said.Add(value)) writer.WriteLine(value);
        }
    }
}
