namespace Pipeline.Runs;

/// <summary>Colour and name of each kind of span; kinds that are not known here get a colour of their own in the order in which they appear.</summary>
internal sealed class SpanPalette
{
    private static readonly Dictionary<string, (string Name, string Color)> s_known = new(StringComparer.OrdinalIgnoreCase)
    {
        ["F"] = ("forward", "#4f86e8"),
        ["forward"] = ("forward", "#4f86e8"),
        ["B"] = ("backward", "#e58a1f"),
        ["backward"] = ("backward", "#e58a1f"),
        ["I"] = ("input gradient", "#c9a227"),
        ["W"] = ("weight gradient", "#84a03a"),
        ["R"] = ("recompute", "#4db6ac"),
        ["recompute"] = ("recompute", "#4db6ac"),
        ["optimizer"] = ("optimizer", "#8e6bd1"),
        ["reduce"] = ("reduce", "#e2679b"),
        ["gather"] = ("gather", "#c77daf"),
        ["validate"] = ("validate", "#7a9bb5"),
    };

    private static readonly string[] s_others = ["#9aa5b1", "#b08968", "#6fb98f", "#d98880", "#7fb3d5", "#c2a83e"];

    private readonly Dictionary<string, (string Name, string Color)> _colors = new(StringComparer.OrdinalIgnoreCase);

    internal SpanPalette(IEnumerable<TimelineSpan> spans)
        : this(spans.Select(span => span.Kind))
    {
    }

    internal SpanPalette(IEnumerable<string> kinds)
    {
        var otherCount = 0;
        foreach (var kind in kinds.Distinct(StringComparer.OrdinalIgnoreCase))
            _colors[kind] = s_known.TryGetValue(kind, out var known) ? known : (kind, s_others[otherCount++ % s_others.Length]);
    }

    /// <summary>Names and colours in the order of first appearance; kinds of one name once.</summary>
    internal IEnumerable<(string Name, string Color)> Legend => _colors.Values.Distinct();

    internal string Color(string kind) => _colors[kind].Color;
}
