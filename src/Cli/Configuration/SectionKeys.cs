using Pipeline.Model;

namespace Pipeline.Cli.Configuration;

/// <summary>Keys of <c>pipeline.model</c>.</summary>
public static class ModelKeys
{
    /// <summary>Blocks.</summary>
    public static readonly WholeNumberSetting Layers = new("model.layers", 1, 1024, "blocks");

    /// <summary>Width of the residual stream.</summary>
    public static readonly WholeNumberSetting Width = new("model.width", 2, 65_536, "elements");

    /// <summary>Query heads.</summary>
    public static readonly WholeNumberSetting Heads = new("model.heads", 1, 1024, "heads");

    /// <summary>Key-value heads.</summary>
    public static readonly OptionalSetting<long, long?> KeyValueHeads = new(new WholeNumberSetting("model.kv-heads", 1, 1024, "heads"));

    /// <summary>Tokens of a sample.</summary>
    public static readonly WholeNumberSetting Context = new("model.context", 1, 1_048_576, "tokens");

    /// <summary>Tokens of the vocabulary.</summary>
    public static readonly WholeNumberSetting Vocabulary = new("model.vocabulary", 2, 1_048_576, "tokens");

    /// <summary>Whether the head shares the embedding's matrix.</summary>
    public static readonly FlagSetting Tied = new("model.tied");

    /// <summary>Units that the head is cut into.</summary>
    public static readonly WholeNumberSetting HeadSlices = new("model.head-slices", 1, 1024, "units");

    /// <summary>Share of elements dropped.</summary>
    public static readonly RealNumberSetting Dropout = new("model.dropout", new(0, 1, WithoutMaximum: true), "probability");

    /// <summary>Normalisation.</summary>
    public static readonly ChoiceSetting<NormKind> Norm = new("model.norm", ("layer", NormKind.Layer), ("rms", NormKind.Rms));

    /// <summary>Position encoding.</summary>
    public static readonly ChoiceSetting<PositionKind> Positions =
        new("model.positions", ("learned", PositionKind.Learned), ("rope", PositionKind.Rope));

    /// <summary>Non-linearity of the MLP.</summary>
    public static readonly ChoiceSetting<ActivationKind> Activation =
        new("model.activation", ("gelu", ActivationKind.Gelu), ("swiglu", ActivationKind.SwiGlu));

    /// <summary>Whether products and layer norms have a bias.</summary>
    public static readonly FlagSetting Bias = new("model.bias");

    /// <summary>Hidden width of the MLP over the width.</summary>
    public static readonly RealNumberSetting MlpRatio = new("model.mlp-ratio", new(0, 64, WithoutMinimum: true), "hidden width ÷ width");

    /// <summary>Base of the rotary frequencies.</summary>
    public static readonly RealNumberSetting RopeBase = new("model.rope-base", new(1, 1e9, WithoutMinimum: true), "no unit");

    /// <summary>Added to the variance.</summary>
    public static readonly RealNumberSetting NormEpsilon = new("model.norm-epsilon", new(0, 0.1, WithoutMinimum: true), "variance");

    /// <summary>Spread of the initial weights.</summary>
    public static readonly RealNumberSetting InitialDeviation =
        new("model.initial-deviation", new(0, 1, WithoutMinimum: true), "standard deviation");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } =
    [
        Layers, Width, Heads, KeyValueHeads, Context, Vocabulary, Tied, HeadSlices, Dropout, Norm, Positions, Activation, Bias, MlpRatio, RopeBase, NormEpsilon,
        InitialDeviation,
    ];
}

/// <summary>Keys of <c>pipeline.data</c>.</summary>
public static class DataKeys
{
    /// <summary>The corpus.</summary>
    public static readonly OptionalSetting<string, string?> Path = new(new TextSetting("data.path", "the path of a file, a folder or a glob"));

    /// <summary>Field of a JSONL line that holds the text.</summary>
    public static readonly TextSetting TextField = new("data.text-field", "the name of a field");

    /// <summary>The tokenizer.</summary>
    public static readonly TextSetting Tokenizer =
        new("data.tokenizer", "the word auto, bytes or bpe, or the path of a folder with a tokenizer");

    /// <summary>Share of the documents held out.</summary>
    public static readonly RealNumberSetting HoldOut = new("data.hold-out", new(0, 0.5, WithoutMinimum: true), "share of the text");

    /// <summary>Folder of prepared token files and tokenizers.</summary>
    public static readonly OptionalSetting<string, string?> Cache = new(new TextSetting("data.cache", "the path of a folder")) { ChangesOnResume = true };

    /// <summary>Hash of the corpus and its tokenizer, which whoever computes with them must find.</summary>
    public static readonly OptionalSetting<string, string?> Content = new(new TextSetting("data.content", "a hash")) { ChangesOnResume = true };

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } = [Path, TextField, Tokenizer, HoldOut, Cache, Content];
}

/// <summary>Keys of <c>pipeline.optimizer</c>.</summary>
public static class OptimizerKeys
{
    /// <summary>Peak learning rate.</summary>
    public static readonly RealNumberSetting LearningRate = new("optimizer.learning-rate", new(0, 10, WithoutMinimum: true), "per step");

    /// <summary>End of the cosine.</summary>
    public static readonly RealNumberSetting MinimumLearningRate =
        new("optimizer.minimum-learning-rate", new(0, 1), "ratio to the learning rate");

    /// <summary>Steps of warm-up.</summary>
    public static readonly OptionalSetting<long, long?> Warmup = new(new WholeNumberSetting("optimizer.warmup", 0, 1_000_000_000, "steps"));

    /// <summary>Steps of the cosine.</summary>
    public static readonly OptionalSetting<long, long?> Horizon = new(new WholeNumberSetting("optimizer.horizon", 1, 1_000_000_000, "steps"));

    /// <summary>Largest gradient norm.</summary>
    public static readonly RealNumberSetting Clip = new("optimizer.clip", new(0, 1e6), "global gradient norm; 0 switches it off");

    /// <summary>Decoupled decay.</summary>
    public static readonly RealNumberSetting WeightDecay = new("optimizer.weight-decay", new(0, 10), "share of the weight per unit of learning rate");

    /// <summary>Decay of both moments.</summary>
    public static readonly NumberListSetting Betas = new("optimizer.betas", 2, new(0, 1, WithoutMaximum: true), "[0.9, 0.95]");

    /// <summary>Added to the root of the second moment.</summary>
    public static readonly RealNumberSetting Epsilon = new("optimizer.epsilon", new(0, 0.1, WithoutMinimum: true), "gradient");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } =
        [LearningRate, MinimumLearningRate, Warmup, Horizon, Clip, WeightDecay, Betas, Epsilon];
}

/// <summary>Keys of <c>pipeline.checkpoint</c>.</summary>
public static class CheckpointKeys
{
    /// <summary>Steps between checkpoints.</summary>
    public static readonly WholeNumberSetting Every = new("checkpoint.every", 0, 1_000_000_000, "steps; 0 saves at the end only") { ChangesOnResume = true };

    /// <summary>Checkpoints kept.</summary>
    public static readonly WholeNumberSetting Keep = new("checkpoint.keep", 1, 1_000_000, "checkpoints") { ChangesOnResume = true };

    /// <summary>Where they lie.</summary>
    public static readonly ChoiceSetting<CheckpointStoreKind> Store =
        new("checkpoint.store", ("folder", CheckpointStoreKind.Folder), ("s3", CheckpointStoreKind.S3)) { ChangesOnResume = true };

    /// <summary>Bucket of S3.</summary>
    public static readonly OptionalSetting<string, string?> Bucket = new(new TextSetting("checkpoint.bucket", "the name of a bucket")) { ChangesOnResume = true };

    /// <summary>Prefix of keys.</summary>
    public static readonly OptionalSetting<string, string?> Prefix = new(new TextSetting("checkpoint.prefix", "a prefix of keys, such as team/run-7")) { ChangesOnResume = true };

    /// <summary>Server of S3.</summary>
    public static readonly OptionalSetting<string, string?> Endpoint = new(new TextSetting("checkpoint.endpoint", "the address of a server, such as http://storage:9000")
    {
        Accepts = text => Uri.TryCreate(text, UriKind.Absolute, out var address) && address.Scheme is "http" or "https",
    }) { ChangesOnResume = true };

    /// <summary>Region of S3.</summary>
    public static readonly OptionalSetting<string, string?> Region = new(new TextSetting("checkpoint.region", "the name of a region")) { ChangesOnResume = true };

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } = [Every, Keep, Store, Bucket, Prefix, Endpoint, Region];
}

/// <summary>Keys of <c>pipeline.protection</c>. None of them changes a run's numbers.</summary>
public static class ProtectionKeys
{
    /// <summary>Where copies go.</summary>
    public static readonly ChoiceSetting<ProtectionChoice> Kind = new(
        "protection.kind", ("auto", ProtectionChoice.Auto), ("none", ProtectionChoice.None), ("memory", ProtectionChoice.Memory), ("disk", ProtectionChoice.Disk)) { ChangesOnResume = true };

    /// <summary>Steps between copies.</summary>
    public static readonly WholeNumberSetting Every = new("protection.every", 1, 1_000_000, "steps") { ChangesOnResume = true };

    /// <summary>Folder of the copies.</summary>
    public static readonly OptionalSetting<string, string?> Folder = new(new TextSetting("protection.folder", "the path of a folder")) { ChangesOnResume = true };

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } = [Kind, Every, Folder];
}

/// <summary>Keys of <c>pipeline.run</c>.</summary>
public static class RunKeys
{
    /// <summary>The last step.</summary>
    public static readonly WholeNumberSetting Steps = new("run.steps", 1, 1_000_000_000, "steps") { ChangesOnResume = true };

    /// <summary>The run directory.</summary>
    public static readonly OptionalSetting<string, string?> Directory = new(new TextSetting("run.directory", "the path of a folder"));

    /// <summary>Steps between evaluations.</summary>
    public static readonly WholeNumberSetting EvaluateEvery = Cadence("run.eval-every", "steps; 0 evaluates at the end only");

    /// <summary>Micro-batches of an evaluation.</summary>
    public static readonly WholeNumberSetting EvaluationBatches = new("run.eval-batches", 1, 1_000_000, "micro-batches") { ChangesOnResume = true };

    /// <summary>Steps between digests.</summary>
    public static readonly WholeNumberSetting DigestEvery = Cadence("run.digest-every", "steps; 0 writes none");

    /// <summary>Steps between lines of progress.</summary>
    public static readonly WholeNumberSetting ProgressEvery = Cadence("run.progress-every", "steps; 0 chooses by the terminal");

    /// <summary>Steps in the trace.</summary>
    public static readonly WholeNumberSetting TraceSteps = new("run.trace-steps", 0, 10_000, "steps") { ChangesOnResume = true };

    /// <summary>Tokens of the sample at the end.</summary>
    public static readonly WholeNumberSetting SampleTokens = new("run.sample-tokens", 0, 100_000, "tokens") { ChangesOnResume = true };

    /// <summary>Steps in a row that are passed over when they are not finite.</summary>
    public static readonly WholeNumberSetting SkippedInRow = new("run.skipped-in-row", 0, 1_000_000, "steps") { ChangesOnResume = true };

    /// <summary>Tries at a step that fails in the same way.</summary>
    public static readonly WholeNumberSetting IdenticalFailures = new("run.identical-failures", 1, 100, "failures") { ChangesOnResume = true };

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } =
        [Steps, Directory, EvaluateEvery, EvaluationBatches, DigestEvery, ProgressEvery, TraceSteps, SampleTokens, SkippedInRow, IdenticalFailures];

    private static WholeNumberSetting Cadence(string path, string unit) => new(path, 0, 1_000_000_000, unit) { ChangesOnResume = true };
}
