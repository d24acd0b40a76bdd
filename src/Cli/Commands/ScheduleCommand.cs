using System.CommandLine;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Model;
using Pipeline.Schedules;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline schedule show</c>: what each rank does when, and the share of idle time.</summary>
internal static class ScheduleCommand
{
    public static Command Create(CommandContext context) =>
        new TaughtCommand("schedule", "Shows schedules: the order of forwards and backwards on each rank.")
        {
            Subcommands = { Show(context), List(context) },
        };

    private static Command Show(CommandContext context)
    {
        TaughtCommand command = new("show", "Draws the grid of ranks × time of one step, with the share of the bubble; a backward takes twice a forward, each of its halves as long as one.")
        {
            Examples =
            [
                ("pipeline schedule show --stages 4 --micro-batches 8", "1F1B over four stages"),
                ("pipeline schedule show --schedule gpipe --csv > mine.csv", "a file to edit and give to --schedule"),
            ],
        };
        ConfigurationOptions options = new(command);
        options.AddFlag(command, "--schedule", "NAME|FILE.csv", SettingsSchema.Schedule, "Which schedule.");
        options.AddFlag(command, "--stages", "N", SettingsSchema.Stages, "Stages.");
        options.AddFlag(command, "--micro-batches", "M", SettingsSchema.MicroBatches, "Micro-batches of a step.");
        options.AddFlag(command, "--virtual-stages", "V", SettingsSchema.VirtualStages, "Stages on each rank.");
        options.AddFlag(command, "--recompute", "none|selective|full|LIST", SettingsSchema.Recompute, "What is computed again.");
        Option<bool> csv = new("--csv") { Description = "Print the exact text form, which --schedule reads." };
        var json = ConfigCommand.JsonOption();
        command.Add(csv);
        command.Add(json);
        command.SetAction(parsed =>
        {
            var schedule = Chosen(RunSettingsBinder.Resolve(options.Collect(parsed, context)).Settings);
            context.Output.Write(parsed.GetValue(csv) ? ScheduleText.Format(schedule) : Draw(schedule, parsed.GetValue(json)));
            return ExitCode.Done;
        });
        return command;
    }

    private static Command List(CommandContext context)
    {
        TaughtCommand command = new("ls", "Lists the schedules that --schedule knows.") { Examples = [("pipeline schedule ls", "names, and what distinguishes each")] };
        var json = ConfigCommand.JsonOption();
        command.Add(json);
        command.SetAction(parsed =>
        {
            var kinds = ScheduleCatalog.All.Select(kind => new ScheduleKindView(kind.Name, kind.Summary, kind.UsesSplitBackward, kind.StagesPerRank.Default)).ToArray();
            if (parsed.GetValue(json)) context.Output.WriteLine(JsonSerializer.Serialize(kinds, JsonOutput.Options));
            else foreach (var kind in kinds) context.Output.WriteLine($"{kind.Name,-17} {kind.Summary}");
            return ExitCode.Done;
        });
        return command;
    }

    /// <summary>One line of <c>schedule ls</c>.</summary>
    private sealed record ScheduleKindView(string Name, string Summary, bool SplitsBackward, int StagesPerRankByDefault);

    // Of units only what needs them asks: a schedule can be looked at for more stages than the model has units.
    private static Schedule Chosen(RunSettings settings)
    {
        var schedule = ScheduleChoice.For(settings.Step);
        if (settings.Step.RankMemory is null && settings.Step.Recompute.Everywhere is not null) return schedule;
        var units = DecoderTransformer.Units(settings.Model);
        var partition = settings.Step.Partition is { } counts ? Partitioner.FromCounts(units.Count, counts) : Partitioner.Partition([.. units.Select(unit => unit.Cost)], schedule.StageCount);
        if (settings.Step.Recompute.Everywhere is null) schedule = RecomputePass.Only(schedule, settings.Step.Recompute.StagesOf(partition));
        if (settings.Step.RankMemory is not null)
            MemoryLimit.Require(settings, [([.. partition.Select(range => range.Count)], schedule)], ProfileStore.FindOrEstimate(settings), settings.Step.Recompute, areHere: false);
        return schedule;
    }

    private static string Draw(Schedule schedule, bool asJson)
    {
        var timeline = ScheduleTiming.Predict(schedule, ActionCosts.Uniform(schedule.StageCount));
        return asJson ? JsonSerializer.Serialize(ScheduleView.Of(timeline), JsonOutput.Options) + "\n" : ScheduleGrid.Render(timeline);
    }
}
