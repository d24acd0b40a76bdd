using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Execution;
using Pipeline.Cli.Machine;
using Pipeline.Cli.Planning;
using Pipeline.Model.Numerics;
using Pipeline.Protocol;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline profile</c>: what each unit of the model costs on this machine, or on each node of a cluster, as files that plans and predictions read.</summary>
internal static class ProfileCommand
{
    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("profile", "Measures the costs of every unit of the model, on this machine or on each node of a cluster, for plan, simulate and a run's prediction.")
        {
            Examples =
            [
                ("pipeline profile", "the default model; kept in the cache, where plan, simulate and train find it"),
                ("pipeline profile --preset gpt-small --sizes 1,2,4 --out small.json", "three sizes of micro-batch, into a file for --profile"),
                ("pipeline profile --cluster -c cluster.conf --stages 2", "each node of a cluster that runs, over the wire; plan --cluster and train --cluster then take each node's own"),
                ("pipeline profile --out $HOSTNAME.json", "on machines without a cluster; plan --profile a.json,b.json then takes each one's own"),
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
        Option<bool> cluster = new("--cluster") { Description = "Have every node of the cluster that the settings name (cluster.seed-nodes) measure its own, and keep them one by one." };
        command.Add(cluster);
        command.Add(seconds);
        command.Add(sizes);
        command.Add(file);
        command.Add(json);
        command.SetAction(async (parsed, cancellation) =>
        {
            TorchRuntime.Initialize();
            var bound = PrecisionChoices.Settled(RunSettingsBinder.Resolve(options.Collect(parsed, context)));
            var (settings, wanted) = (bound.Settings, Sizes(parsed.GetValue(sizes), bound.Settings));
            var isCluster = parsed.GetValue(cluster);
            if (isCluster && parsed.GetValue(file) is not null) throw new UsageException("--out would be ignored: with --cluster each node's profile is kept in the cache, where plan and train find it. Leave one of them out.");
            var budget = TimeSpan.FromSeconds(Math.Clamp(parsed.GetValue(seconds), 0, isCluster ? ProfileProtocol.MostSeconds : 3600));
            if (isCluster) return await ClusterAsync(context, bound, wanted, budget, parsed.GetValue(json), cancellation).ConfigureAwait(false);
            var profile = await new UnitMeasurement(settings, wanted, budget, new LineProgress(context.Error)).RunAsync(cancellation).ConfigureAwait(false);
            profile = profile with { GigaFlops = PrecisionProbe.Measure(settings.Data.CacheFolder).Fp32GigaFlops };
            var path = ProfileStore.Write(settings, parsed.GetValue(file), profile);
            if (parsed.GetValue(json)) context.Output.WriteLine(JsonSerializer.Serialize(profile, JsonOutput.Options));
            else Print(context.Output, profile, path);
            return ExitCode.Done;
        });
        return command;
    }

    private static async Task<int> ClusterAsync(CommandContext context, BoundConfiguration bound, int[] sizes, TimeSpan budget, bool asJson, CancellationToken cancellation)
    {
        var results = await new ClusterProfiling(context, bound).RunAsync(sizes, budget, cancellation).ConfigureAwait(false);
        if (asJson) context.Output.WriteLine(JsonSerializer.Serialize(results.Select(result => new { result.Node.Name, result.Node.Host, Ranks = result.RankCount, result.Profile, result.Fault }), JsonOutput.Options));
        else NodeTableText.Print(context.Output, results, bound.Settings.Step.MicroBatchSize);
        return results.All(result => result.Profile is not null) ? ExitCode.Done : ExitCode.Failed;
    }

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
