using System.Buffers;
using System.Collections.Concurrent;
using System.Text;
using System.Text.RegularExpressions;

namespace Pipeline.Data;

/// <summary>
/// Byte-level byte-pair encoding in GPT-2's form (Sennrich, Haddow, Birch 2016; Radford et al. 2019). Words that were met are kept
/// with their tokens, up to a bound, since text repeats its words.
/// </summary>
public sealed class BpeTokenizer : ITokenizer
{
    internal const string KindName = "bpe";

    private const int MaximumCachedWordCount = 1 << 18;
    private const int MaximumCachedWordLength = 64;

    private readonly BpeVocabulary _vocabulary;
    private readonly WordEncoder _encoder;
    private readonly ConcurrentDictionary<string, int[]> _tokensOfWord = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, int[]>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private int _cachedWordCount;

    internal BpeTokenizer(BpeVocabulary vocabulary)
    {
        _vocabulary = vocabulary;
        _encoder = new WordEncoder(vocabulary);
        _lookup = _tokensOfWord.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    public string Kind => KindName;

    public int VocabularySize => _vocabulary.Count;

    public int EndOfText => _vocabulary.EndOfText;

    public string Hash => _vocabulary.Hash;

    public int[] Encode(string text)
    {
        ArrayBufferWriter<int> tokens = new(Math.Max(16, text.Length / 2));
        foreach (ValueMatch word in PreTokenizer.WordsOf(text))
            tokens.Write(TokensOf(text.AsSpan(word.Index, word.Length)));
        return tokens.WrittenSpan.ToArray();
    }

    public string Decode(ReadOnlySpan<int> tokens) => _vocabulary.Decode(tokens);

    public ReadOnlySpan<byte> BytesOf(int token) => _vocabulary.BytesOf(token);

    public void Save(string folder, int? contextLength = null) => VocabularyWriter.Save(_vocabulary, folder, contextLength);

    private int[] TokensOf(ReadOnlySpan<char> word)
    {
        if (_lookup.TryGetValue(word, out int[]? known))
            return known;
        int[] tokens = _encoder.Encode(Encoding.UTF8.GetBytes(word.ToArray()));
        if (word.Length <= MaximumCachedWordLength
            && Interlocked.Increment(ref _cachedWordCount) <= MaximumCachedWordCount)
            _lookup.TryAdd(word, tokens);
        return tokens;
    }
}
