namespace Pipeline.Cli.Configuration;

/// <summary>Yes or no, in any of HOCON's spellings.</summary>
public sealed class FlagSetting(string path) : Setting<bool>(path, "true or false")
{
    internal override Reading Read(RawValue raw) => raw.Text?.ToLowerInvariant() switch
    {
        "true" or "on" or "yes" => Reading.Of(true),
        "false" or "off" or "no" => Reading.Of(false),
        _ => Reading.Unfit,
    };

    internal override string Write(object? value) => value is true ? "true" : "false";
}

/// <summary>One of a few words, each standing for a value.</summary>
public sealed class ChoiceSetting<T>(string path, params (string Word, T Value)[] choices)
    : Setting<T>(path, Describe(choices.Select(choice => choice.Word).ToArray())) where T : notnull
{
    /// <summary>Words that are known but refused, each with the sentence that says why.</summary>
    public IReadOnlyDictionary<string, string> Refusals { get; init; } = new Dictionary<string, string>();

    /// <summary>Words of former builds, each with the one that means the same; read, but neither written nor told.</summary>
    public IReadOnlyDictionary<string, string> FormerWords { get; init; } = new Dictionary<string, string>();

    /// <summary>The words, in the order of the declaration.</summary>
    public IReadOnlyList<string> Words { get; } = choices.Select(choice => choice.Word).ToArray();

    internal override Reading Read(RawValue raw)
    {
        if (raw.Text is not { } text) return Reading.Unfit;
        text = FormerWords.GetValueOrDefault(text, text);
        foreach (var (word, value) in choices)
        {
            if (word == text) return Reading.Of(value);
        }

        if (Refusals.TryGetValue(text, out var reason)) return Reading.Refused(reason);
        return NearestName.To(text, Words) is { } near ? Reading.Refused($"Expected {Expectation}; did you mean {near}?") : Reading.Unfit;
    }

    internal override string Write(object? value) => choices.Single(choice => choice.Value.Equals(value)).Word;

    private static string Describe(string[] words) =>
        words.Length == 1 ? $"{words[0]}, so far the only choice" : $"one of {string.Join(", ", words)}";
}

/// <summary>Free text without blanks around it (HOCON's parser drops them), with an optional test that it must pass.</summary>
public sealed class TextSetting(string path, string expectation) : Setting<string>(path, expectation)
{
    /// <summary>Whether a text is acceptable.</summary>
    public Func<string, bool> Accepts { get; init; } = text => text.Length > 0;

    internal override Reading Read(RawValue raw) =>
        raw is { Text: { } text, IsNull: false } && Accepts(text.Trim()) ? Reading.Of(text.Trim()) : Reading.Unfit;

    internal override string Write(object? value) => Quote((string)value!);

    /// <summary>The text in quotes, escaped as HOCON's parser reads it.</summary>
    internal static string Quote(string text) => "\"" + text
        .Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)
        .Replace("\n", "\\n", StringComparison.Ordinal).Replace("\r", "\\r", StringComparison.Ordinal)
        .Replace("\t", "\\t", StringComparison.Ordinal) + "\"";
}

/// <summary>One of a few words, or the path of a file with a given extension.</summary>
public sealed class WordOrFileSetting(string path, IReadOnlyList<string> words, string extension)
    : Setting<string>(path, $"one of {string.Join(", ", words)}, or the path of a {extension} file")
{
    internal override Reading Read(RawValue raw)
    {
        if (raw.Text?.Trim() is not { } text) return Reading.Unfit;
        if (words.Contains(text) || text.EndsWith(extension, StringComparison.OrdinalIgnoreCase)) return Reading.Of(text);
        return NearestName.To(text, words) is { } near ? Reading.Refused($"Expected {Expectation}; did you mean {near}?") : Reading.Unfit;
    }

    internal override string Write(object? value) => words.Contains(value) ? (string)value! : TextSetting.Quote((string)value!);
}

/// <summary>A key that may also be <c>null</c>: the program then chooses, as the comment in <c>reference.conf</c> says.</summary>
public sealed class OptionalSetting<TValue, TNullable>(Setting<TValue> inner) : Setting<TNullable>(inner.Path, inner.Expectation + ", or null")
{
    internal override Reading Read(RawValue raw) => raw.IsNull ? Reading.Of(null) : inner.Read(raw);

    internal override string Write(object? value) => value is null ? "null" : inner.Write(value);
}
