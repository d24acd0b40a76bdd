using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Execution;
using Pipeline.Cli.Planning;
using Pipeline.Model.Numerics;
using Pipeline.Nodes;
using Pipeline.Schedules;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline plan</c>: which schedule, partition and micro-batches are fastest within memory, and why.</summary>
internal static class PlanCommand
{
    private const int ShownCount = 12;

    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("plan", "Chooses partition, schedule, stages per rank, micro-batches and recomputation together, and says why.")
        {
            Examples =
            [
                ("pipeline profile && pipeline plan --stages 2", "from costs measured on this machine"),
                ("pipeline plan -c hocon/simulations/64x8.conf", "for a cluster that a file describes"),
                ("pipeline plan --cluster -c cluster.conf", "for the nodes of a cluster that runs, with each one's own costs where `profile --cluster` has measured them"),
                ("pipeline train --set plan=auto", "trains with the plan's choice"),
            ],
        };
        ConfigurationOptions options = new(command);
        options.AddFlag(command, "--stages", "N", SettingsSchema.Stages, "Ranks of the pipeline.");
        options.AddFlag(command, "--micro-batches", "M", SettingsSchema.MicroBatches, "Micro-batches of a step; with their size they give its samples.");
        options.AddFlag(command, "--micro-batch-size", "B", SettingsSchema.MicroBatchSize, "Samples of a micro-batch.");
        options.AddFlag(command, "--precision", "auto|fp32|bf16", SettingsSchema.Precision, "Arithmetic of the products.");
        options.AddFlag(command, "--profile", "FILE,…", SettingsSchema.Profile, "Measured costs; with one file for each node of simulation.nodes their speeds come from it.");
        Option<bool> all = new("--all") { Description = $"Show every combination, not only the first {ShownCount}." };
        var json = ConfigCommand.JsonOption();
        Option<bool> cluster = new("--cluster") { Description = "Plan for the nodes of the cluster that the settings name (cluster.seed-nodes), as they are now." };
        command.Add(cluster);
        command.Add(all);
        command.Add(json);
        command.SetAction(async (parsed, _) =>
        {
            TorchRuntime.Initialize();
            var bound = RunSettingsBinder.Resolve(options.Collect(parsed, context));
            if (parsed.GetValue(cluster) && bound.Settings.Simulation.NodeCount is not null)
                throw new UsageException($"--cluster asks the nodes that are there, and {SimulationKeys.Nodes.Path} describes others. Leave one of them out.");
            var nodes = parsed.GetValue(cluster) ? await ClusterNodes.AskAsync(bound.Settings.Cluster, context.Time).ConfigureAwait(false) : null;
            var (world, plan) = Find(context, bound, nodes);
            if (parsed.GetValue(json)) context.Output.WriteLine(JsonSerializer.Serialize(PlanView.Of(plan, world), JsonOutput.Options));
            else Print(context.Output, plan, world, parsed.GetValue(all) ? int.MaxValue : ShownCount);
            return plan.Choice is null ? ExitCode.Refused : ExitCode.Done;
        });
        return command;
    }

    private static (PlanWorld World, Plan Plan) Find(CommandContext context, BoundConfiguration bound, IReadOnlyList<NodeStatus>? nodes)
    {
        using LateProgress progress = new(context, "measuring what this machine computes");
        var settings = PrecisionChoices.Settled(bound).Settings;
        var world = nodes is null ? PlanWorld.Of(settings) : PlanWorld.OfCluster(settings, nodes);
        return (world, Planner.Find(PlanRequests.Of(settings, world, keepsMicroBatches: false), progress));
    }

    /// <summary>The table of candidates and the explanation.</summary>
    internal static void Print(TextWriter output, Plan plan, PlanWorld world, int shownCount)
    {
        output.WriteLine($"world    {world.Description}");
        output.WriteLine($"costs    {world.Profile.Source}");
        output.WriteLine();
        output.WriteLine("  schedule            a rank  micro-batches  recompute                   step     idle   peak memory  units of each stage");
        foreach (var candidate in plan.Candidates.Take(shownCount))
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{(candidate == plan.Choice ? '*' : ' ')} {Kind(candidate),-18} {candidate.VirtualStages,7}  {candidate.MicroBatchCount,6} × {candidate.MicroBatchSize,-4}  {candidate.Recompute.Summary,-22}"
                + $"{Seconds(candidate.StepTime),10}  {candidate.BubbleShare * 100,5:0.0} %  {candidate.PeakBytes / 1048576.0,8:N0} MiB  {candidate.Misfit ?? Counts(candidate)}"));
        }

        if (plan.Candidates.Length > shownCount) output.WriteLine($"  … and {plan.Candidates.Length - shownCount} more (--all)");
        output.WriteLine();
        foreach (var sentence in plan.Explanation) output.WriteLine(sentence);
    }

    /// <summary>A duration with as many digits as one reads.</summary>
    internal static string Seconds(double seconds) => seconds < 1
        ? string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e3:0.0} ms")
        : string.Create(CultureInfo.InvariantCulture, $"{seconds:0.000} s");

    private static string Kind(PlanCandidate candidate) => candidate.MemoryCredit is { } credit ? $"{candidate.Kind}, {credit} held" : candidate.Kind;

    private static string Counts(PlanCandidate candidate)
    {
        var counts = candidate.Partition.Select(range => range.Count).ToArray();
        return counts.Length <= 8 ? string.Join(' ', counts) : $"{string.Join(' ', counts.Take(4))} … {string.Join(' ', counts.TakeLast(2))}";
    }

    /// <summary>A plan for JSON.</summary>
    private sealed record PlanView(string World, string Costs, bool IsMeasured, IReadOnlyList<CandidateView> Candidates, IReadOnlyList<string> Explanation)
    {
        public static PlanView Of(Plan plan, PlanWorld world) => new(
            world.Description, world.Profile.Source, world.Profile.IsMeasured,
            [.. plan.Candidates.Select(candidate => new CandidateView(
                candidate.Kind, candidate.VirtualStages, candidate.MicroBatchCount, candidate.MicroBatchSize, candidate.Recompute.ToString(), candidate.MemoryCredit,
                candidate.Costs is { } costs ? [costs.Forward, costs.InputGradient, costs.WeightGradient] : null, candidate.StepTime, candidate.BubbleShare, candidate.PeakBytes, candidate == plan.Choice, candidate.Misfit,
                [.. candidate.Partition.Select(range => range.Count)], candidate.NodeOfRank))],
            plan.Explanation);
    }

    private sealed record CandidateView(
        string Schedule, int StagesPerRank, int MicroBatches, int MicroBatchSize, string Recompute, int? MemoryCredit, IReadOnlyList<double>? OrderCosts, double StepSeconds, double Bubble, long PeakBytes,
        bool IsChosen, string? Misfit, IReadOnlyList<int> UnitsOfStages, IReadOnlyList<int> NodeOfRank);
}
