using System.CommandLine;
using System.Text.Json;
using Pipeline.Cli.Configuration;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline config show|validate</c>: the settings after all layers, and whether they can be used.</summary>
internal static class ConfigCommand
{
    public static Command Create(CommandContext context) =>
        new TaughtCommand("config", "Shows the settings that a run would use, or checks them.")
        {
            Subcommands = { Show(context), Validate(context) },
        };

    private static Command Show(CommandContext context)
    {
        TaughtCommand command = new("show", "Prints every setting with its value and the layer that it came from, as HOCON.")
        {
            Examples =
            [
                ("pipeline config show", "every setting of the default run"),
                ("pipeline config show --preset llama-nano --set model.layers=6", "what these choices would give"),
                ("pipeline config show --origin false > my.conf", "a file to edit and give to -c"),
            ],
        };
        ConfigurationOptions options = new(command);
        Option<bool> json = JsonOption();
        Option<bool> origin = new("--origin") { Description = "Whether to show the layer of each value.", DefaultValueFactory = _ => true, HelpName = "true|false" };
        command.Add(json);
        command.Add(origin);
        command.SetAction(parsed =>
        {
            var resolved = RunSettingsBinder.Resolve(options.Collect(parsed, context)).Configuration;
            context.Output.Write(parsed.GetValue(json)
                ? ConfigurationPrinter.Json(resolved, parsed.GetValue(origin))
                : ConfigurationPrinter.Hocon(resolved, parsed.GetValue(origin)));
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Validate(CommandContext context)
    {
        TaughtCommand command = new("validate", "Checks files, environment and options, and reports every fault at once.")
        {
            Examples = [("pipeline config validate -c my.conf", "exit code 0 if my.conf can be used, 2 if not")],
        };
        ConfigurationOptions options = new(command);
        Option<bool> json = JsonOption();
        command.Add(json);
        command.SetAction(parsed =>
        {
            try
            {
                RunSettingsBinder.Resolve(options.Collect(parsed, context));
            }
            catch (ConfigurationException invalid) when (parsed.GetValue(json))
            {
                context.Output.WriteLine(FaultsAsJson(invalid.Faults));
                return ExitCode.Refused;
            }

            context.Output.WriteLine(parsed.GetValue(json) ? FaultsAsJson([]) : $"Valid: all {SettingsSchema.All.Count} settings can be used.");
            return ExitCode.Done;
        });
        return command;
    }

    private static string FaultsAsJson(IReadOnlyList<ConfigurationFault> faults) => JsonSerializer.Serialize(
        new
        {
            valid = faults.Count == 0,
            faults = faults.Select(fault => new
            {
                key = fault.Subject, layer = fault.Origin?.Layer, line = fault.Origin is { Line: > 0 and var line } ? line : (int?)null, message = fault.Sentence,
            }),
        },
        JsonOutput.Options);

    /// <summary>The option that every query has.</summary>
    internal static Option<bool> JsonOption() => new("--json") { Description = "Print JSON, for programs." };
}
