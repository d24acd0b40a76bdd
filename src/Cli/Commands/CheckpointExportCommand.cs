using System.CommandLine;
using System.Globalization;
using Pipeline.Checkpoints.Export;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Execution;
using Pipeline.Data;
using Pipeline.Model;
using Pipeline.Runs;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline checkpoint export</c>: the weights for other libraries.</summary>
internal static class CheckpointExportCommand
{
    private const int MostShardMegabytes = 100_000;
    private const int StandardShardMegabytes = 5_000;

    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("export", "Writes a checkpoint's weights under Hugging Face's names: safetensors with an index, config.json, the tokenizer.")
        {
            Examples =
            [
                ("pipeline checkpoint export runs/2026-05-01-gpt-micro-001 --to exported", "the newest usable checkpoint"),
                ("pipeline checkpoint export runs/2026-05-01-llama-nano-001 --to exported --step 100 --shard-size 1000", "that of a step, in files of at most 1000 MB"),
            ],
        };
        Argument<string> run = new("run") { HelpName = "RUN", Description = "A run directory." };
        Option<string> to = new("--to") { HelpName = "DIR", Description = "A new or empty folder.", Required = true };
        Option<long?> step = new("--step") { HelpName = "N", Description = "The checkpoint of this step; without it the newest usable one." };
        Option<int> shard = new("--shard-size") { HelpName = "MB", Description = $"The most that a file holds. Default: {StandardShardMegabytes}.", DefaultValueFactory = _ => StandardShardMegabytes };
        command.Arguments.Add(run);
        foreach (var option in new Option[] { to, step, shard }) command.Add(option);
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(shard) is < 1 or > MostShardMegabytes)
                throw new UsageException($"--shard-size {parsed.GetValue(shard)}: expected a whole number from 1 to {MostShardMegabytes} (MB).");
            return Export(context, parsed.GetValue(run)!, parsed.GetValue(to)!, parsed.GetValue(step), parsed.GetValue(shard) * 1_000_000L);
        });
        return command;
    }

    private static int Export(CommandContext context, string run, string folder, long? step, long shardByteCount)
    {
        var files = new RunFiles(Path.GetFullPath(run));
        if (!File.Exists(files.Configuration)) throw new UsageException($"{run} holds no run: there is no config.conf, which says the shape of the model.");
        var settings = RunSettingsBinder.Resume(ConfigurationLayer.FromFile(files.Configuration), ConfigurationSources.None).Settings;
        var store = CheckpointStores.Open(settings.Checkpoint, files);
        using var reader = step is { } wanted ? store.Open(wanted) : store.OpenLatest().Require();
        var report = HuggingFaceExport.Write(reader, Model(settings.Model), folder, shardByteCount);
        context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"step {reader.Step}: {report.Files.Count} file{(report.Files.Count == 1 ? "" : "s")} of weights, {report.ByteCount / 1e6:0.0} MB, for {report.Architecture}, in {folder}"));
        ExportTokenizer(context, settings, folder);
        return ExitCode.Done;
    }

    /// <summary>The weights are of use without it too, so that a corpus which has moved does not spoil the export.</summary>
    private static void ExportTokenizer(CommandContext context, RunSettings settings, string folder)
    {
        try
        {
            using var materials = RunMaterials.Prepare(settings, context, CancellationToken.None);
            if (materials.Data.Tokenizer is BpeTokenizer tokenizer) tokenizer.Save(folder, settings.Model.Context);
            else context.Error.WriteLine("No tokenizer was written: a token of this run is a byte.");
        }
        catch (DataException missing)
        {
            context.Error.WriteLine($"No tokenizer was written: {missing.Message}");
        }
    }

    private static ExportModel Model(ModelSettings model) => new(model.Layers, model.Width, model.Heads, model.KeyValueHeads, model.HiddenWidth, model.Context, model.Vocabulary)
    {
        IsTied = model.Tied,
        HasBias = model.Bias,
        HasRmsNorm = model.Norm == NormKind.Rms,
        HasRope = model.Positions == PositionKind.Rope,
        HasSwiGlu = model.Activation == ActivationKind.SwiGlu,
        NormEpsilon = model.NormEpsilon,
        RopeBase = model.RopeBase,
        HeadSlices = model.HeadSlices,
    };
}
