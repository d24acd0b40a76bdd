namespace Pipeline.Data;

/// <summary>
/// A trigram model with interpolated Kneser–Ney smoothing: absolute discounting, and lower orders that count in how many contexts a
/// token follows instead of how often (Kneser, Ney 1995; the interpolated form of Chen, Goodman 1999, section 2.7, with one discount
/// an order). What is left at the end is shared evenly over the vocabulary, so every token has a probability above 0.
/// </summary>
internal sealed class KneserNeyTrigram
{
    private const int TokenBits = 21;
    private const ulong PairMask = (1UL << (2 * TokenBits)) - 1;
    private const ulong TokenMask = (1UL << TokenBits) - 1;

    private readonly ContextOrder _trigrams;
    private readonly ContextOrder _bigrams;
    private readonly ContextOrder _unigrams;
    private readonly int _vocabularySize;

    public KneserNeyTrigram(ReadOnlySpan<int> tokens, int vocabularySize)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(vocabularySize, 1 << TokenBits);
        _vocabularySize = vocabularySize;
        ulong[] trigrams = new ulong[Math.Max(0, tokens.Length - 2)];
        for (int i = 0; i < trigrams.Length; i++)
            trigrams[i] = (PairOf(tokens[i], tokens[i + 1]) << TokenBits) | (uint)tokens[i + 2];
        _trigrams = new ContextOrder(trigrams);
        _bigrams = new ContextOrder(Suffixes(_trigrams.Table.Keys, PairMask));
        _unigrams = new ContextOrder(Suffixes(_bigrams.Table.Keys, TokenMask));
    }

    /// <summary>P(token | first, second).</summary>
    public double Probability(int first, int second, int token)
    {
        double even = 1.0 / _vocabularySize;
        double byToken = _unigrams.Interpolate((uint)token, even);
        double byPair = _bigrams.Interpolate(PairOf(second, token), byToken);
        return _trigrams.Interpolate((PairOf(first, second) << TokenBits) | (uint)token, byPair);
    }

    private static ulong PairOf(int first, int second) => ((ulong)(uint)first << TokenBits) | (uint)second;

    // One entry for each distinct longer n-gram: their number is in how many contexts the shorter one occurs.
    private static ulong[] Suffixes(ReadOnlySpan<ulong> keys, ulong mask)
    {
        ulong[] suffixes = keys.ToArray();
        for (int i = 0; i < suffixes.Length; i++)
            suffixes[i] &= mask;
        return suffixes;
    }

    /// <summary>The counts of one order, and for each context their sum and the number of different tokens that follow.</summary>
    private sealed class ContextOrder
    {
        private readonly Dictionary<ulong, (long Total, int FollowerCount)> _contexts = [];
        private readonly double _discount;

        public ContextOrder(ulong[] occurrences)
        {
            Table = CountTable.Of(occurrences);
            _discount = Table.Discount();
            for (int i = 0; i < Table.Keys.Length; i++)
            {
                ulong context = Table.Keys[i] >> TokenBits;
                var (total, followerCount) = _contexts.GetValueOrDefault(context);
                _contexts[context] = (total + Table.Counts[i], followerCount + 1);
            }
        }

        public CountTable Table { get; }

        public double Interpolate(ulong key, double lower)
        {
            if (!_contexts.TryGetValue(key >> TokenBits, out var context))
                return lower;
            double seen = Math.Max(0, Table.CountOf(key) - _discount);
            return (seen + (_discount * context.FollowerCount * lower)) / context.Total;
        }
    }
}
