using System.CommandLine;
using Pipeline.Cli.Configuration;

namespace Pipeline.Cli.Commands;

/// <summary>The options by which every command that reads the configuration gets its layers.</summary>
internal sealed class ConfigurationOptions
{
    private readonly Option<string[]> files = new("-c", "--config")
    {
        HelpName = "FILE",
        Description = "A file of settings in HOCON, over the preset. Repeatable; the last one wins.",
    };

    private readonly Option<string[]> assignments = new("--set")
    {
        HelpName = "KEY=VALUE",
        Description = "One setting, such as model.layers=8. Repeatable. `pipeline config show` lists the keys.",
    };

    private readonly List<(Option<string> Option, Setting Setting)> flags = [];

    /// <summary>Adds the common options to a command, and <c>--preset</c>.</summary>
    public ConfigurationOptions(Command command)
    {
        AddFlag(command, "--preset", "NAME", SettingsSchema.Preset, "Settings to start from.");
        command.Add(files);
        command.Add(assignments);
    }

    /// <summary>Adds a flag that stands for a setting, so that its value is judged with all others.</summary>
    public void AddFlag(Command command, string name, string valueName, Setting setting, string description)
    {
        Option<string> option = new(name) { HelpName = valueName, Description = $"{description} Expected: {setting.Expectation}. Key: {setting.FullPath}." };
        flags.Add((option, setting));
        command.Add(option);
    }

    /// <summary>The layers that a parsed command line and the environment give.</summary>
    public ConfigurationSources Collect(ParseResult parsed, CommandContext context) => new(
        (parsed.GetValue(files) ?? []).Select(ConfigurationLayer.FromFile).ToArray(),
        ConfigurationLayer.FromEnvironment(context.Variables),
        ConfigurationLayer.FromAssignments(parsed.GetValue(assignments) ?? []),
        ConfigurationLayer.FromFlags(flags.Where(flag => parsed.GetResult(flag.Option) is { Implicit: false })
            .Select(flag => (flag.Setting, flag.Option.Name, parsed.GetValue(flag.Option)!))));
}
