using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;

namespace Pipeline.Data;

/// <param name="Tokenizer">Has fewer tokens than were asked for if the text ran out of pairs.</param>
/// <param name="Notice">Says so then; otherwise null.</param>
public sealed record BpeTraining(BpeTokenizer Tokenizer, string? Notice);

/// <summary>
/// Trains a byte-level BPE: the most frequent pair of neighbours inside words becomes a token, again and again
/// (Sennrich, Haddow, Birch 2016, algorithm 1). The result is a function of the text alone: among equally frequent pairs the one
/// with the smaller token numbers is taken. Token numbers: the bytes 0 to 255, the merges in their order, the end of text last.
/// </summary>
public static class BpeTrainer
{
    /// <summary>The bytes and the end of text, which then takes the place of 0xFF: no UTF-8 text holds that byte.</summary>
    public const int MinimumVocabularySize = 256;

    public const int MaximumVocabularySize = 32_768;

    /// <summary>A pair that occurs once in the corpus says nothing about other text.</summary>
    private const long MinimumPairCount = 2;

    /// <param name="texts">Enumerated once; their order does not matter.</param>
    /// <param name="vocabularySize">Bytes, merges and the end of text: 256 to 32,768.</param>
    /// <param name="progress">Told in words what is going on.</param>
    /// <param name="cancellationToken">Looked at after each text and each merge.</param>
    public static BpeTraining Train(
        IEnumerable<string> texts, int vocabularySize, IProgress<string>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabularySize, MinimumVocabularySize);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(vocabularySize, MaximumVocabularySize);
        List<byte[]> tokens = BpeVocabulary.Bytes(Math.Min(256, vocabularySize - 1));
        int mergeCount = vocabularySize - 1 - tokens.Count;
        List<Merge> merges = mergeCount == 0 ? [] : FindMerges(texts, tokens, mergeCount, progress, cancellationToken);
        BpeTokenizer tokenizer = new(BpeVocabulary.WithEndOfText(tokens, merges));
        string? notice = merges.Count == mergeCount
            ? null
            : $"The BPE has {tokenizer.VocabularySize} tokens instead of {vocabularySize}: no other pair occurs twice in the training text.";
        return new BpeTraining(tokenizer, notice);
    }

    private static List<Merge> FindMerges(
        IEnumerable<string> texts, List<byte[]> tokens, int mergeCount, IProgress<string>? progress, CancellationToken cancellationToken)
    {
        Dictionary<string, long> words = CountWords(texts, cancellationToken);
        progress?.Report($"training a BPE of {tokens.Count + mergeCount + 1} tokens on {words.Count} distinct words");
        PairIndex pairs = PairIndex.Of(words.Select(word => (Encoding.UTF8.GetBytes(word.Key), word.Value)));
        List<Merge> merges = new(mergeCount);
        while (merges.Count < mergeCount && pairs.TryTakeMostFrequent(MinimumPairCount, out ulong pair))
        {
            cancellationToken.ThrowIfCancellationRequested();
            Merge merge = new(PairKey.Left(pair), PairKey.Right(pair), tokens.Count);
            tokens.Add([.. tokens[merge.Left], .. tokens[merge.Right]]);
            merges.Add(merge);
            pairs.Apply(merge);
        }
        return merges;
    }

    private static Dictionary<string, long> CountWords(IEnumerable<string> texts, CancellationToken cancellationToken)
    {
        Dictionary<string, long> words = new(StringComparer.Ordinal);
        var lookup = words.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach (string text in texts)
        {
            cancellationToken.ThrowIfCancellationRequested();
            foreach (ValueMatch word in PreTokenizer.WordsOf(text))
                CollectionsMarshal.GetValueRefOrAddDefault(lookup, text.AsSpan(word.Index, word.Length), out _)++;
        }
        return words;
    }
}
