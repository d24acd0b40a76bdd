using System.Globalization;
using System.Text;

namespace Pipeline.Protocol.Security;

/// <summary>
/// Text that came from outside (a node's name, a path, a manifest, a subject) as it may stand in a log or on a terminal: on one line, of
/// bounded length, without control characters, terminal sequences or signs that turn the direction of reading.
/// </summary>
public static class SafeText
{
    private const int LongestText = 160;

    /// <summary>The text with everything that is not plainly visible written as <c>\u001B</c>, cut off after <paramref name="maxLength"/> characters.</summary>
    public static string Of(string? text, int maxLength = LongestText)
    {
        if (text is null) return "";
        var shown = new StringBuilder(Math.Min(text.Length, maxLength) + 8);
        foreach (var rune in text.EnumerateRunes())
        {
            if (shown.Length >= maxLength) return shown.Append('…').ToString();
            if (IsVisible(rune)) shown.Append(rune.ToString());
            else shown.Append(CultureInfo.InvariantCulture, $"\\u{rune.Value:X4}");
        }

        return shown.ToString();
    }

    // The backslash too: else a name could pretend to hold an escaped character.
    private static bool IsVisible(Rune rune) => rune.Value == ' ' || (rune.Value != '\\' && rune.Value != Rune.ReplacementChar.Value && Rune.GetUnicodeCategory(rune) is not (
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned
        or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator));
}
