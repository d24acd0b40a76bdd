namespace Pipeline.Cli.Configuration;

/// <summary>A list of texts without blanks or commas in them, written <c>["a", "b"]</c>; at least one.</summary>
public sealed class TextListSetting(string path, string expectation) : Setting<IReadOnlyList<string>>(path, expectation)
{
    /// <summary>Whether an item is acceptable.</summary>
    public Func<string, bool> AcceptsItem { get; init; } = item => item.Length > 0;

    internal override Reading Read(RawValue raw)
    {
        var items = (raw.Items ?? raw.Text?.Trim().TrimStart('[').TrimEnd(']').Split(',') ?? []).Select(item => item.Trim().Trim('"')).ToArray();
        return items.Length > 0 && items.All(AcceptsItem) ? Reading.Of(items) : Reading.Unfit;
    }

    internal override string Write(object? value) => "[" + string.Join(", ", ((IReadOnlyList<string>)value!).Select(TextSetting.Quote)) + "]";
}
