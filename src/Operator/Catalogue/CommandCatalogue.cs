namespace Pipeline.Operator;

/// <summary>All commands of an operator: what <c>ctl</c>, the console, its scripts and the dashboard know.</summary>
public static class CommandCatalogue
{
    /// <summary>The flag by which somebody agrees beforehand.</summary>
    public const string Consent = "--yes";

    /// <summary>The flag that asks for JSON.</summary>
    public const string AsJson = "--json";

    /// <summary>All commands, in the order in which help lists them.</summary>
    public static IReadOnlyList<OperatorCommand> All { get; } =
    [
        .. StandingCommands.All, TopCommand.Command, .. MeasureCommands.All, .. FlowCommands.All, .. SettingCommands.All, .. PlacementCommands.All, .. StateCommands.All, .. RecordCommands.All, HelpCommand.Command,
    ];

    /// <summary>The command of a word; null if there is none.</summary>
    public static OperatorCommand? Find(string name) => All.FirstOrDefault(command => command.Name == name);

    /// <summary>Why a line cannot be carried out whatever the run; null if it can.</summary>
    public static string? FaultOf(CommandWords words)
    {
        if (Find(words.Name) is not { } command)
            return $"There is no command '{Protocol.Security.SafeText.Of(words.Name)}'.{Nearest(words.Name)} `help` lists all.";
        var (least, most) = command.ArgumentCount;
        if (words.Arguments.Count < least || words.Arguments.Count > most) return $"Expected: {command.Usage}. `help {command.Name}` explains it.";
        var unknown = words.Flags.FirstOrDefault(flag => flag is not (Consent or AsJson) && command.Flags.All(known => known.Name != flag));
        return unknown is null ? null : $"{command.Name} knows no {Protocol.Security.SafeText.Of(unknown)}. `help {command.Name}` lists what it knows.";
    }

    private static string Nearest(string name) =>
        name.Length > 1 && All.FirstOrDefault(command => command.Name.StartsWith(name[..2], StringComparison.Ordinal)) is { } near ? $" Did you mean {near.Name}?" : "";
}
