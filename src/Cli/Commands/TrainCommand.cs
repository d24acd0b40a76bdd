using System.CommandLine;
using Pipeline.Cli.Configuration;

namespace Pipeline.Cli.Commands;

/// <summary>What <c>train</c> is asked to do besides the settings.</summary>
public sealed record TrainOptions
{
    /// <summary>Directory of the run to go on with; null for a new run.</summary>
    public string? ResumeDirectory { get; init; }

    /// <summary>Whether the unsplit trainer runs instead of the pipeline.</summary>
    public bool IsReference { get; init; }

    /// <summary>Whether a cluster that runs already trains, rather than this process or its children.</summary>
    public bool IsCluster { get; init; }

    /// <summary>Whether to stop after the arithmetic.</summary>
    public bool IsDryRun { get; init; }

    /// <summary>Whether to say more.</summary>
    public bool IsVerbose { get; init; }
}

/// <summary>A parsed and checked <c>train</c>.</summary>
/// <param name="Bound">The settings; for a resumed run those stored with it, changed only where that is allowed.</param>
/// <param name="Options">The rest of the command line.</param>
public sealed record TrainRequest(BoundConfiguration Bound, TrainOptions Options);

/// <summary><c>pipeline train</c>: from the command line to a <see cref="TrainRequest"/>; what happens with it is given by the caller.</summary>
internal sealed class TrainCommand
{
    private readonly Option<string> resume = new("--resume") { HelpName = "DIR", Description = "Go on with the run in this directory. Only stages, schedule, steps, processes, device, links and cadences may change." };
    private readonly Option<bool> reference = new("--reference") { Description = "Train the unsplit model in one thread: the same losses, to the last bit." };
    private readonly Option<bool> cluster = new("--cluster") { Description = "Submit the run to the cluster that the settings name (cluster.seed-nodes, cluster.control-port), and follow it." };
    private readonly Option<bool> dryRun = new("--dry-run") { Description = "Print the arithmetic of the run, and stop before the first step." };
    private readonly CommandContext context;
    private readonly TaughtCommand command = new("train", "Trains a model on a pipeline of stages, and leaves a run directory with metrics, checkpoints and a sample.")
    {
        OwnsSignals = true,
        Examples =
        [
            ("pipeline train", "the default model on the SDK's own documentation: about two minutes"),
            ("pipeline train --data speeches/ --preset gpt-small --stages 4", "your own text, a folder with one document a file"),
            ("pipeline train --resume runs/2026-05-01-gpt-micro-001 --steps 400", "go on to step 400"),
            ("pipeline train --stages 3 --processes 4", "three stages over four processes; the run survives the death of any of them"),
            ("pipeline train --set optimizer.learning-rate=1e-3 --dry-run", "see what a run would do"),
        ],
    };

    private readonly ConfigurationOptions options;

    private TrainCommand(CommandContext context)
    {
        this.context = context;
        options = new(command);
        options.AddFlag(command, "--data", "PATH", DataKeys.Path, "The corpus.");
        options.AddFlag(command, "--stages", "N", SettingsSchema.Stages, "Stages that the model is split into.");
        options.AddFlag(command, "--micro-batches", "M", SettingsSchema.MicroBatches, "Micro-batches of a step.");
        options.AddFlag(command, "--micro-batch-size", "B", SettingsSchema.MicroBatchSize, "Samples of a micro-batch.");
        options.AddFlag(command, "--schedule", "NAME|FILE.csv", SettingsSchema.Schedule, "Order of forwards and backwards.");
        options.AddFlag(command, "--precision", "auto|fp32|bf16", SettingsSchema.Precision, "Arithmetic of the products.");
        options.AddFlag(command, "--steps", "N", RunKeys.Steps, "Where the run stops.");
        options.AddFlag(command, "--processes", "N", ClusterKeys.Processes, "Processes on this machine to spread the stages over.");
        options.AddFlag(command, "--seed", "N", SettingsSchema.Seed, "Seed of everything random.");
        options.AddFlag(command, "--cache", "DIR", DataKeys.Cache, "Cache of tokenizers and token files.");
        options.AddFlag(command, "--run", "DIR", RunKeys.Directory, "The run directory.");
        command.Add(resume);
        command.Add(reference);
        command.Add(cluster);
        command.Add(dryRun);
    }

    /// <summary>The command, which hands what it parsed to <paramref name="train"/>.</summary>
    public static Command Create(CommandContext context, Func<TrainRequest, CancellationToken, Task<int>> train)
    {
        TrainCommand self = new(context);
        self.command.SetAction((parsed, cancellation) => train(self.Request(parsed), cancellation));
        return self.command;
    }

    private TrainRequest Request(ParseResult parsed)
    {
        TrainOptions rest = new()
        {
            ResumeDirectory = parsed.GetValue(resume),
            IsReference = parsed.GetValue(reference),
            IsCluster = parsed.GetValue(cluster),
            IsDryRun = parsed.GetValue(dryRun),
            IsVerbose = parsed.GetValue(CommandTree.Verbose),
        };
        if (rest is { IsCluster: true, IsReference: true }) throw new UsageException("Expected either --cluster or --reference, found both: the unsplit trainer runs in this process.");
        var sources = options.Collect(parsed, context);
        if (rest.ResumeDirectory is not { } directory) return Checked(new(RunSettingsBinder.Resolve(sources), rest));
        if (sources.Flags.Entries.Any(entry => entry.FullPath == RunKeys.Directory.FullPath))
            throw new UsageException("Expected either --run or --resume, found both: a resumed run stays in its directory.");
        var stored = ConfigurationLayer.FromFile(StoredConfiguration(directory));
        return Checked(new(RunSettingsBinder.Resume(stored, sources), rest));
    }

    private static TrainRequest Checked(TrainRequest request) => request.Options.IsReference && UnsplitEquality.Obstacle(request.Bound.Settings) is { } obstacle
        ? throw new UsageException($"--reference has no such run, since {obstacle}.")
        : request;

    private static string StoredConfiguration(string directory)
    {
        var path = Path.Combine(directory, "config.conf");
        if (!Directory.Exists(directory)) throw new UsageException($"--resume {directory}: there is no such directory. Name the directory of a run, such as runs/2026-05-01-gpt-micro-001.");
        return File.Exists(path) ? path : throw new UsageException($"--resume {directory}: it holds no run, for it has no config.conf. Name the directory of a run.");
    }
}
