using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Schedules;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline profile</c>: what each unit of the model costs on this machine, as a file that plans and predictions read.</summary>
internal static class ProfileCommand
{
    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("profile", "Measures the costs of every unit of the model on this machine, for plan, simulate and a run's prediction.")
        {
            Examples =
            [
                ("pipeline profile", "the default model; kept in the cache, where plan, simulate and train find it"),
                ("pipeline profile --preset gpt-small --sizes 1,2,4 --out small.json", "three sizes of micro-batch, into a file for --profile"),
                ("pipeline profile --out $HOSTNAME.json", "on each node; plan --profile a.json,b.json, or pipeline.profile with train --cluster, takes their speeds"),
            ],
        };
        ConfigurationOptions options = new(command);
        options.AddFlag(command, "--stages", "N", SettingsSchema.Stages, "Ranks that will compute side by side: as many threads measure at once.");
        options.AddFlag(command, "--micro-batch-size", "B", SettingsSchema.MicroBatchSize, "Samples of a micro-batch.");
        options.AddFlag(command, "--precision", "auto|fp32|bf16", SettingsSchema.Precision, "Arithmetic of the products.");
        options.AddFlag(command, "--cache", "DIR", DataKeys.Cache, "Cache in which the profile is kept.");
        Option<string?> sizes = new("--sizes") { HelpName = "B,B,…", Description = "Sizes of micro-batch to measure; by default the settings' own." };
        Option<string?> file = new("--out") { HelpName = "FILE", Description = "Write the profile there instead of into the cache." };
        Option<double> seconds = new("--seconds") { HelpName = "S", Description = "Time for each size; a few rounds run in any case.", DefaultValueFactory = _ => 8 };
        var json = ConfigCommand.JsonOption();
        command.Add(seconds);
        command.Add(sizes);
        command.Add(file);
        command.Add(json);
        command.SetAction(async (parsed, _) =>
        {
            TorchRuntime.Initialize();
            var settings = PrecisionChoices.Settled(RunSettingsBinder.Resolve(options.Collect(parsed, context))).Settings;
            var profile = await MeasureAsync(settings, Sizes(parsed.GetValue(sizes), settings), TimeSpan.FromSeconds(Math.Clamp(parsed.GetValue(seconds), 0, 3600)), new LineProgress(context.Error)).ConfigureAwait(false);
            var path = ProfileStore.Write(settings, parsed.GetValue(file), profile);
            if (parsed.GetValue(json)) context.Output.WriteLine(JsonSerializer.Serialize(profile, JsonOutput.Options));
            else Print(context.Output, profile, path);
            return ExitCode.Done;
        });
        return command;
    }

    private static async Task<ProfileFile> MeasureAsync(RunSettings settings, int[] sizes, TimeSpan budget, LineProgress progress)
    {
        var units = DecoderTransformer.Units(settings.Model);
        // Half of the units' time before the pipeline that calibrates and half after it: where a machine's speed drifts, both then mean the same.
        var profiler = new UnitProfiler(settings, units, budget / 2);
        progress.Report($"Measuring {units.Count} units with micro-batches of {string.Join(", ", sizes)} on {settings.Step.StageCount} threads, twice, and a pipeline in between …");
        var before = sizes.ToDictionary(size => size, profiler.Measure);
        progress.Report("Running a pipeline for what an action costs besides its units …");
        var calibration = await ProfileCalibration.RunAsync(settings, units, before[sizes[0]], sizes[0], budget).ConfigureAwait(false);
        progress.Report("Measuring the units once more …");
        SortedDictionary<int, List<UnitProfile>> measured = [];
        foreach (var size in sizes) measured[size] = [.. before[size].Zip(profiler.Measure(size), Mean)];
        var (overhead, latency) = calibration.Against(measured[sizes[0]]);
        return new ProfileFile(Environment.MachineName, DateTimeOffset.UtcNow, settings.Arithmetic().ToString().ToLowerInvariant(), overhead, latency, measured);
    }

    private static UnitProfile Mean(UnitProfile one, UnitProfile other) => one with
    {
        Forward = (one.Forward + other.Forward) / 2,
        Backward = (one.Backward + other.Backward) / 2,
        InputGradient = (one.InputGradient + other.InputGradient) / 2,
        WeightGradient = (one.WeightGradient + other.WeightGradient) / 2,
        Optimizer = (one.Optimizer + other.Optimizer) / 2,
        SelectiveRecompute = (one.SelectiveRecompute + other.SelectiveRecompute) / 2,
    };

    private static int[] Sizes(string? text, RunSettings settings)
    {
        if (text is null) return [settings.Step.MicroBatchSize];
        var sizes = text.Split(',').Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var size) ? size : 0).Distinct().Order().ToArray();
        return sizes.All(size => size > 0) ? sizes : throw new UsageException($"--sizes {text}: expected whole numbers from 1, separated by commas, such as 1,2,4.");
    }

    private static void Print(TextWriter output, ProfileFile profile, string path)
    {
        foreach (var (size, units) in profile.Sizes)
        {
            output.WriteLine($"micro-batches of {size}, {profile.Precision}; milliseconds");
            output.WriteLine("  unit                    forward  backward     I      W    I+W ÷ backward  optimizer  kept MiB");
            foreach (var unit in units)
            {
                output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"  {unit.Name,-20} {unit.Forward * 1e3,10:0.000} {unit.Backward * 1e3,9:0.000} {unit.InputGradient * 1e3,6:0.000} {unit.WeightGradient * 1e3,6:0.000} {(unit.InputGradient + unit.WeightGradient) / unit.Backward,16:0.000} {unit.Optimizer * 1e3,10:0.000} {unit.KeptBytes / 1048576.0,9:0.0}"));
            }

            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"  {"all",-20} {units.Sum(unit => unit.Forward) * 1e3,10:0.000} {units.Sum(unit => unit.Backward) * 1e3,9:0.000} {units.Sum(unit => unit.InputGradient) * 1e3,6:0.000} {units.Sum(unit => unit.WeightGradient) * 1e3,6:0.000} {units.Sum(unit => unit.InputGradient + unit.WeightGradient) / units.Sum(unit => unit.Backward),16:0.000} {units.Sum(unit => unit.Optimizer) * 1e3,10:0.000} {units.Sum(unit => unit.KeptBytes) / 1048576.0,9:0.0}"));
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"an action costs {profile.ActionOverhead * 1e6:0} µs besides its units, an input waits {profile.HopLatency * 1e6:0} µs for its action"));
        output.WriteLine($"written to {path}");
    }
}
