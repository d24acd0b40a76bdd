using System.Text.RegularExpressions;

namespace Pipeline.Data;

/// <summary>
/// Cuts text into the words inside which BPE merges, by GPT-2's expression (Radford et al. 2019). The classes are .NET's, which
/// looks at UTF-16 code units: letters beyond U+FFFF count as symbols here, as they do in Microsoft.ML.Tokenizers.
/// </summary>
internal static partial class PreTokenizer
{
    public const string Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    public static Regex.ValueMatchEnumerator WordsOf(string text) => Expression().EnumerateMatches(text);

    [GeneratedRegex(Pattern, RegexOptions.CultureInvariant)]
    private static partial Regex Expression();
}
