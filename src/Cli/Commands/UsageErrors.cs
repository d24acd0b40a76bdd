using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.RegularExpressions;
using Pipeline.Cli.Configuration;

namespace Pipeline.Cli.Commands;

/// <summary>Says what is wrong with a command line, and what was probably meant.</summary>
internal static partial class UsageErrors
{
    public static IEnumerable<string> Describe(ParseResult parsed)
    {
        var command = parsed.CommandResult.Command;
        var name = FullName(parsed.CommandResult);
        var unknown = Unknown(parsed, command).ToArray();
        var others = parsed.Errors.Select(error => error.Message).Where(message => unknown.Length == 0 || !IsAboutUnknown(message, parsed)).Distinct();
        foreach (var token in unknown) yield return Describe(token, parsed.CommandResult, name);
        foreach (var message in others)
            yield return message.StartsWith("Required command", StringComparison.Ordinal) ? MissingWord(command, name) : InOwnWords(message, name);
        yield return $"`{name} --help` explains the command and its options.";
    }

    /// <summary>The tokens that nothing accepts: a wrong word hides what follows it, a wrong option only its value.</summary>
    private static IEnumerable<string> Unknown(ParseResult parsed, Command command)
    {
        var tokens = parsed.UnmatchedTokens;
        if (tokens.Count == 0) return [];
        if (command.Subcommands.Count > 0 && !IsOption(tokens[0])) return [tokens[0]];
        var options = tokens.Where(IsOption).ToArray();
        return options.Length > 0 ? options : [tokens[0]];
    }

    private static bool IsAboutUnknown(string message, ParseResult parsed) =>
        message.StartsWith("Required command", StringComparison.Ordinal) || parsed.UnmatchedTokens.Any(token => message.Contains($"'{token}'", StringComparison.Ordinal));

    private static string Describe(string token, CommandResult command, string name)
    {
        var isOption = IsOption(token);
        var word = isOption ? token.Split('=')[0] : token;
        var known = isOption ? OptionNames(command) : command.Command.Subcommands.Select(sub => sub.Name);
        var near = NearestName.To(word, known);
        var kind = isOption ? "option" : command.Command.Subcommands.Count > 0 ? "command" : "argument";
        return $"{name}: there is no {kind} '{word}'." + (near is null ? "" : $" Did you mean {near}?");
    }

    /// <summary>The parser's sentences that name .NET's types, or the program by its last word only, as this program says them.</summary>
    private static string InOwnWords(string message, string name)
    {
        if (Unreadable().Match(message) is { Success: true } unreadable)
            return $"{name}: {unreadable.Groups["what"]} expects {(unreadable.Groups["type"].Value is "Double" or "Single" ? "a number" : "a whole number")}; found '{unreadable.Groups["found"]}'.";
        return Missing().Match(message) is { Success: true } missing ? $"{name}: expected {missing.Groups["what"]} after it." : message;
    }

    [GeneratedRegex(@"^Cannot parse argument '(?<found>.*)' for (option|command|argument) '(?<what>.*)' as expected type '(System\.)?(System\.Nullable`1\[System\.)?(?<type>Double|Single|U?Int(16|32|64))\]?'\.$")]
    private static partial Regex Unreadable();

    [GeneratedRegex("^Required argument '(?<what>.*)' missing for command: '.*'\\.$")]
    private static partial Regex Missing();

    private static string MissingWord(Command command, string name) =>
        $"{name}: expected a command after it: {string.Join(", ", command.Subcommands.Select(sub => sub.Name))}.";

    private static IEnumerable<string> OptionNames(CommandResult command)
    {
        foreach (var option in command.Command.Options) yield return option.Name;
        for (var parent = command.Parent as CommandResult; parent is not null; parent = parent.Parent as CommandResult)
        {
            foreach (var option in parent.Command.Options.Where(option => option.Recursive)) yield return option.Name;
        }
    }

    private static bool IsOption(string token) => token.Length > 1 && token[0] == '-';

    private static string FullName(CommandResult command)
    {
        List<string> words = [];
        for (var result = command; result is not null; result = result.Parent as CommandResult)
            words.Insert(0, result.Command is RootCommand ? "pipeline" : result.Command.Name);
        return string.Join(" ", words);
    }
}
