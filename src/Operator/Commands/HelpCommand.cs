using System.Text.Json.Nodes;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>Teaches the catalogue.</summary>
public static class HelpCommand
{
    internal static OperatorCommand Command { get; } = new("help", "[COMMAND]", "Lists the commands, or explains one with examples.")
    {
        ArgumentCount = (0, 1),
        Completions = [Completion.Command],
        Examples = [("help move", "what it does, what it takes")],
        Run = request => Task.FromResult(request[0] is { } name ? One(name) : Every()),
    };

    /// <summary>All commands, a line each.</summary>
    public static string Overview()
    {
        var width = CommandCatalogue.All.Max(command => command.Usage.Length);
        return string.Join('\n', CommandCatalogue.All.Select(command => $"{command.Usage.PadRight(width)}  {command.Summary}"))
            + "\n\nA command that could do harm asks first, or takes --yes. --json answers for programs. A line may hold several, separated by semicolons.";
    }

    /// <summary>One command; null if there is none of the name.</summary>
    public static string? Describe(string name)
    {
        if (CommandCatalogue.Find(name) is not { } command) return null;
        List<string> lines = [$"{command.Usage}", $"  {command.Summary}"];
        if (command.Detail.Length > 0) lines.AddRange(command.Detail.Split('\n').Select(line => $"  {line.Trim()}"));
        foreach (var (flag, meaning) in command.Flags) lines.Add($"  {flag}  {meaning}");
        if (command.Warning is not null) lines.Add($"  {CommandCatalogue.Consent}  does it without asking; needed where no terminal is there");
        foreach (var (line, purpose) in command.Examples) lines.Add($"  > {line}    {purpose}");
        return string.Join('\n', lines);
    }

    private static CommandAnswer Every() => new(true, Overview(), new JsonArray([.. CommandCatalogue.All.Select(command =>
        (JsonNode)new JsonObject { ["name"] = command.Name, ["usage"] = command.Usage, ["summary"] = command.Summary, ["asks"] = command.Warning is not null })]));

    private static CommandAnswer One(string name) => Describe(name) is { } text ? new CommandAnswer(true, text) : new CommandAnswer(false, $"There is no command '{SafeText.Of(name)}'. `help` lists all.");
}
