using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Model.Numerics;
using Pipeline.Runs;
using Pipeline.Schedules;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline simulate</c>: a step on a cluster that settings describe, with a report of times, memory and the critical path.</summary>
internal static class SimulateCommand
{
    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("simulate", "Simulates a training step on a cluster that the settings describe: time, idle shares, memory, critical path.")
        {
            Examples =
            [
                ("pipeline simulate -c hocon/simulations/64x8.conf --out report/", "64 nodes of 8 devices; report.txt, report.json, timeline.svg, trace.json"),
                ("pipeline simulate --stages 2 --schedule zb-v", "the machine at hand"),
            ],
        };
        ConfigurationOptions options = new(command);
        options.AddFlag(command, "--schedule", "NAME|FILE.csv", SettingsSchema.Schedule, "Order of forwards and backwards.");
        options.AddFlag(command, "--stages", "N", SettingsSchema.Stages, "Ranks of the pipeline.");
        options.AddFlag(command, "--micro-batches", "M", SettingsSchema.MicroBatches, "Micro-batches of a step.");
        options.AddFlag(command, "--micro-batch-size", "B", SettingsSchema.MicroBatchSize, "Samples of a micro-batch.");
        options.AddFlag(command, "--virtual-stages", "V", SettingsSchema.VirtualStages, "Stages on each rank.");
        options.AddFlag(command, "--recompute", "none|selective|full|LIST", SettingsSchema.Recompute, "What is computed again.");
        options.AddFlag(command, "--precision", "auto|fp32|bf16", SettingsSchema.Precision, "Arithmetic of the products.");
        options.AddFlag(command, "--profile", "FILE,…", SettingsSchema.Profile, "Measured costs; with one file for each node of simulation.nodes their speeds come from it.");
        Option<string?> folder = new("--out") { HelpName = "DIR", Description = "Write the report, the picture and the trace into this folder." };
        Option<string?> window = new("--window") { HelpName = "FROM:TO", Description = "Seconds of the step that the trace covers; by default all, or of a large step the middle." };
        var json = ConfigCommand.JsonOption();
        command.Add(folder);
        command.Add(window);
        command.Add(json);
        command.SetAction(parsed =>
        {
            TorchRuntime.Initialize();
            var settings = PrecisionChoices.Settled(RunSettingsBinder.Resolve(options.Collect(parsed, context))).Settings;
            var span = Window(parsed.GetValue(window));
            var (report, step) = Simulate(context, settings);
            if (parsed.GetValue(json)) context.Output.WriteLine(JsonSerializer.Serialize(report, JsonOutput.Options));
            else foreach (var line in SimulationText.Lines(report)) context.Output.WriteLine(line);
            if (parsed.GetValue(folder) is { } target) Write(target, report, step, span, parsed.GetValue(json) ? context.Error : context.Output);
            return ExitCode.Done;
        });
        return command;
    }

    private static (SimulationReport Report, SimulatedStep Step) Simulate(CommandContext context, RunSettings settings)
    {
        using LateProgress progress = new(context, "simulating the step");
        var world = PlanWorld.Of(settings);
        var request = PlanRequests.Of(settings, world, keepsMicroBatches: true);
        var plain = ScheduleChoice.For(settings.Step with { Recompute = UnitRecompute.None });
        var (candidate, step) = PlanEvaluation.Of(request, plain, settings.Step.MicroBatchSize, settings.Step.Recompute);
        return (SimulationReport.Of(settings, world, candidate, step), step);
    }

    private static void Write(string folder, SimulationReport report, SimulatedStep step, (double From, double To)? window, TextWriter output)
    {
        Directory.CreateDirectory(folder);
        var title = string.Create(CultureInfo.InvariantCulture, $"{report.Schedule}, {report.World}, {report.MicroBatches} micro-batches, {report.Idle * 100:0.0} % idle");
        AtomicFile.WriteText(Path.Combine(folder, "report.txt"), string.Join('\n', SimulationText.Lines(report)) + "\n");
        AtomicFile.WriteText(Path.Combine(folder, "report.json"), JsonSerializer.Serialize(report, JsonOutput.Options) + "\n");
        AtomicFile.WriteText(Path.Combine(folder, "timeline.svg"), SimulationPictures.Draw(title, step));
        var (from, to) = window ?? SimulationPictures.DefaultWindow(step);
        AtomicFile.Write(Path.Combine(folder, "trace.json"), stream => ChromeTrace.Write(stream, SimulationPictures.Window(title, step, from, to)));
        output.WriteLine();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"written to {folder}: report.txt, report.json, timeline.svg, trace.json (seconds {from:0.####} to {to:0.####}, for ui.perfetto.dev)"));
    }

    private static (double From, double To)? Window(string? text)
    {
        if (text is null) return null;
        var parts = text.Split(':');
        return parts.Length == 2
            && double.TryParse(parts[0], NumberStyles.Float, CultureInfo.InvariantCulture, out var from)
            && double.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out var to) && from >= 0 && to > from
            ? (from, to)
            : throw new UsageException($"--window {text}: expected FROM:TO in seconds, such as 0.5:0.75.");
    }
}
