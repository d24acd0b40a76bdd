namespace Pipeline.Cli.Configuration;

/// <summary>A value as a layer wrote it, before any type is known: one text, a list of texts, or an empty section.</summary>
/// <param name="Text">The text; null for a list and for a section.</param>
/// <param name="Items">The items of a list; null otherwise.</param>
public sealed record RawValue(string? Text, IReadOnlyList<string>? Items = null)
{
    /// <summary>A section without keys, such as <c>model {}</c>.</summary>
    public static RawValue EmptySection { get; } = new(null, null);

    /// <summary>Whether this is the word null.</summary>
    public bool IsNull => Text is "null";

    /// <summary>The value as an error message shows it.</summary>
    public string Shown => (Text, Items) switch
    {
        ({ } text, _) => $"\"{text}\"",
        (_, { } items) => $"[{string.Join(", ", items)}]",
        _ => "an empty section",
    };
}
