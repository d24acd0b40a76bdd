using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Pipeline.Checkpoints;
using Pipeline.Cli.Execution;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline checkpoint ls|show|verify|export</c>: what is saved, whether it can be used, and its weights for others.</summary>
internal static class CheckpointCommand
{
    public static Command Create(CommandContext context) =>
        new TaughtCommand("checkpoint", "Lists, shows, verifies and exports the checkpoints of a run.")
        {
            Subcommands = { List(context), Show(context), Verify(context), CheckpointExportCommand.Create(context) },
        };

    private static Command List(CommandContext context)
    {
        var (command, run, json) = Query("ls", "Lists the checkpoints of a run, newest first.", ("pipeline checkpoint ls runs/2026-05-01-gpt-micro-001", "every checkpoint with its state"));
        command.SetAction(parsed =>
        {
            Print(context, CheckpointStores.OpenStored(parsed.GetValue(run)!).List(), parsed.GetValue(json));
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Verify(CommandContext context)
    {
        var (command, run, json) = Query("verify", "Reads every byte of every checkpoint and compares the hashes; exit code 2 if one is damaged.",
            ("pipeline checkpoint verify runs/2026-05-01-gpt-micro-001", "names the file and the tensor of any damage"));
        command.SetAction(parsed =>
        {
            var summaries = CheckpointStores.OpenStored(parsed.GetValue(run)!).List(verify: true);
            Print(context, summaries, parsed.GetValue(json));
            if (summaries.All(summary => summary.State != CheckpointState.Complete))
                throw new CheckpointException($"{parsed.GetValue(run)} holds no usable checkpoint.");
            return summaries.Any(summary => summary.State == CheckpointState.Damaged) ? ExitCode.Refused : ExitCode.Done;
        });
        return command;
    }

    private static Command Show(CommandContext context)
    {
        var (command, run, json) = Query("show", "Shows what a checkpoint says of itself, and its tensors.",
            ("pipeline checkpoint show runs/2026-05-01-gpt-micro-001 --step 100", "without --step: the newest usable one"));
        Option<long?> step = new("--step") { HelpName = "N", Description = "The checkpoint of this step." };
        command.Add(step);
        command.SetAction(parsed =>
        {
            var store = CheckpointStores.OpenStored(parsed.GetValue(run)!);
            using var reader = parsed.GetValue(step) is { } wanted ? store.Open(wanted, verify: false) : store.OpenLatest(verify: false).Require();
            context.Output.Write(parsed.GetValue(json) ? JsonSerializer.Serialize(reader.Manifest, JsonOutput.Options) + "\n" : Describe(reader));
            return ExitCode.Done;
        });
        return command;
    }

    private static (TaughtCommand Command, Argument<string> Run, Option<bool> Json) Query(string name, string description, (string, string) example)
    {
        Argument<string> run = new("run") { HelpName = "RUN", Description = "A run directory, or a folder of checkpoints." };
        var json = ConfigCommand.JsonOption();
        return (new TaughtCommand(name, description) { Arguments = { run }, Options = { json }, Examples = [example] }, run, json);
    }

    private static void Print(CommandContext context, IReadOnlyList<CheckpointSummary> summaries, bool asJson)
    {
        if (asJson)
        {
            var lines = summaries.Select(summary => new
            {
                step = summary.Step, state = summary.State.ToString().ToLowerInvariant(), bytes = summary.ByteCount, location = summary.Location, problem = summary.Problem,
            });
            context.Output.WriteLine(JsonSerializer.Serialize(lines, JsonOutput.Options));
            return;
        }

        if (summaries.Count == 0) context.Output.WriteLine("There are no checkpoints.");
        foreach (var summary in summaries)
        {
            context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"step {summary.Step,8}  {summary.State.ToString().ToLowerInvariant(),-10}  {summary.ByteCount / 1e6,9:0.0} MB  {summary.Location}"));
            if (summary.Problem is { } problem) context.Output.WriteLine($"    {problem}");
        }
    }

    private static string Describe(CheckpointReader reader)
    {
        var (manifest, description) = (reader.Manifest, reader.Manifest.Description);
        var position = description.DataPosition;
        var head = string.Create(CultureInfo.InvariantCulture, $"""
            step       {manifest.Step}
            folder     {reader.Folder}
            model      {string.Join(", ", description.Model.Select(pair => $"{pair.Key} {pair.Value}"))}
            precision  {description.Precision}
            seed       {description.Seed}
            data       {position.StepCount:N0} steps, {position.SampleCount:N0} samples, {position.TokenCount:N0} tokens
            tokenizer  {description.TokenizerHash}
            files      {manifest.Files.Count}, {manifest.Files.Sum(file => file.ByteCount) / 1e6:0.0} MB
            tensors    {manifest.Tensors.Count}

            """);
        return head + string.Concat(manifest.Tensors.Select(tensor => $"  {tensor.DType,-5} [{string.Join(", ", tensor.Shape)}]  {tensor.Name}\n"));
    }
}
