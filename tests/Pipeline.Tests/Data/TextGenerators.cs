using System.Text;
using CsCheck;

namespace Pipeline.Tests.Data;

/// <summary>Texts for property tests, and a small invented prose to train tokenizers on.</summary>
internal static class TextGenerators
{
    private static readonly string[] Words =
        ["the", "The", "sea", "captain", "whale", "it's", "we'll", "they've", "I'd", "running", "runner", "2024", "3.14", "naïve", "café", "Straße", "mañana"];

    private static readonly string[] Oddities =
        [" ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "...", "--", "====", "###", "<|endoftext|>", "'", "\"", "₿", "漢字", "かな", "한국", "😀", "👩‍🚀", "𝒜𝒷", "e\u0301", "\u0000", "\ufeff", "a b"];

    private static readonly Gen<string> CodePoint =
        Gen.Int[1, 0x10FFFF].Where(value => value is < 0xD800 or > 0xDFFF).Select(char.ConvertFromUtf32);

    private static readonly Gen<string> Piece = Gen.Frequency(
        (5, Gen.OneOf(Words)),
        (4, Gen.Const(" ")),
        (3, Gen.OneOf(Oddities)),
        (1, Gen.Char['a', 'e'].Array[1, 12].Select(letters => new string(letters))),
        (1, CodePoint));

    /// <summary>Well-formed Unicode of all sorts.</summary>
    public static Gen<string> Unicode { get; } = Piece.Array[0, 40].Select(string.Concat);

    /// <summary>Few letters, so that pairs repeat and runs overlap.</summary>
    public static Gen<string> Repetitive { get; } = Gen.OneOf("a", "b", "ab", "aaa", " ", "c", "é").Array[0, 30].Select(string.Concat);

    /// <summary>Sentences of a made-up language with a fixed seed.</summary>
    public static string Prose(int sentenceCount, int seed = 1)
    {
        string[] stems = ["sail", "whale", "captain", "harpoon", "storm", "deck", "voyage", "ocean", "sailor", "ship", "mast", "anchor", "night", "wind"];
        string[] endings = ["", "s", "ed", "ing", "er", "'s"];
        string[] links = ["the", "of", "and", "with", "under", "over", "a", "into", "that", "from"];
        // The same words whatever the seed of the sentences, as in a language.
        Random syllables = new(0);
        string[] names = Enumerable.Range(0, 200).Select(_ => string.Concat(Enumerable.Range(0, syllables.Next(2, 4))
            .Select(_ => $"{"bdfgklmnprstvz"[syllables.Next(14)]}{"aeiou"[syllables.Next(5)]}{"nrls"[syllables.Next(4)]}"))).ToArray();
        Random random = new(seed);
        StringBuilder text = new();
        for (int sentence = 0; sentence < sentenceCount; sentence++)
        {
            int wordCount = random.Next(4, 12);
            for (int word = 0; word < wordCount; word++)
            {
                text.Append(word == 0 ? "" : " ").Append(links[random.Next(links.Length)]).Append(' ')
                    .Append(stems[random.Next(stems.Length)]).Append(endings[random.Next(endings.Length)])
                    .Append(' ').Append(names[random.Next(names.Length)]);
            }
            text.Append(random.Next(5) == 0 ? "!\n" : ". ");
        }
        return text.ToString();
    }
}
