namespace Pipeline.Data;

/// <summary>
/// Applies merges to one word: always the lowest rank next, the leftmost among equals. The candidates wait in a priority queue and
/// the symbols in a linked list, so that a word of n bytes costs O(n log n); a long run without spaces stays cheap.
/// </summary>
internal sealed class WordEncoder
{
    private readonly BpeVocabulary _vocabulary;
    private readonly Dictionary<ulong, (int Rank, int Result)> _merges;

    public WordEncoder(BpeVocabulary vocabulary)
    {
        _vocabulary = vocabulary;
        _merges = new Dictionary<ulong, (int, int)>(vocabulary.Merges.Count);
        for (int rank = 0; rank < vocabulary.Merges.Count; rank++)
        {
            Merge merge = vocabulary.Merges[rank];
            _merges.TryAdd(PairKey.Of(merge.Left, merge.Right), (rank, merge.Result));
        }
    }

    public int[] Encode(ReadOnlySpan<byte> word)
    {
        if (word.Length == 1)
            return [_vocabulary.TokenOf(word[0])];
        int[] symbols = new int[word.Length];
        int[] previous = new int[word.Length];
        int[] next = new int[word.Length];
        for (int i = 0; i < symbols.Length; i++)
        {
            symbols[i] = _vocabulary.TokenOf(word[i]);
            previous[i] = i - 1;
            next[i] = i + 1;
        }
        int symbolCount = MergeAll(symbols, previous, next);
        int[] tokens = new int[symbolCount];
        for (int i = 0, position = 0; i < symbolCount; i++, position = next[position])
            tokens[i] = symbols[position];
        return tokens;
    }

    private int MergeAll(int[] symbols, int[] previous, int[] next)
    {
        // The priority is (rank, position); a candidate is stale if its pair is not what stands there any more.
        PriorityQueue<ulong, (int Rank, int Position)> candidates = new(symbols.Length);
        for (int i = 0; i + 1 < symbols.Length; i++)
            Offer(i);
        int symbolCount = symbols.Length;
        while (candidates.TryDequeue(out ulong pair, out (int Rank, int Position) place))
        {
            int left = place.Position;
            int right = next[left];
            if (symbols[left] < 0 || right >= symbols.Length || PairKey.Of(symbols[left], symbols[right]) != pair)
                continue;
            symbols[left] = _merges[pair].Result;
            symbols[right] = -1;
            next[left] = next[right];
            if (next[left] < symbols.Length)
                previous[next[left]] = left;
            symbolCount--;
            if (previous[left] >= 0)
                Offer(previous[left]);
            if (next[left] < symbols.Length)
                Offer(left);
        }
        return symbolCount;

        void Offer(int position)
        {
            ulong pair = PairKey.Of(symbols[position], symbols[next[position]]);
            if (_merges.TryGetValue(pair, out var merge))
                candidates.Enqueue(pair, (merge.Rank, position));
        }
    }
}

/// <summary>Two token numbers in one key, ordered by the left one, then by the right one.</summary>
internal static class PairKey
{
    public static ulong Of(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    public static int Left(ulong pair) => (int)(pair >> 32);

    public static int Right(ulong pair) => (int)(uint)pair;
}
