using System.Runtime.InteropServices;

namespace Pipeline.Data;

/// <summary>
/// The distinct words of a corpus as lists of tokens, with the frequency of every pair of neighbours and the words it occurs in, so
/// that a merge looks at the words it touches and at no other.
/// </summary>
internal sealed class PairIndex
{
    private readonly List<WordSymbols> _words = [];
    private readonly Dictionary<ulong, int> _slotOfPair = [];
    private readonly List<PairEntry> _entries = [];

    // Entries are out of date as soon as a count changes: they are corrected when they come to the front.
    private readonly PriorityQueue<ulong, MergePriority> _queue = new();
    private readonly List<int> _risenSlots = [];

    public static PairIndex Of(IEnumerable<(byte[] Bytes, long Count)> words)
    {
        PairIndex index = new();
        foreach (var (bytes, count) in words)
        {
            if (bytes.Length < 2)
                continue;
            int wordIndex = index._words.Count;
            int[] symbols = Array.ConvertAll(bytes, value => (int)value);
            index._words.Add(new WordSymbols(symbols, count));
            for (int i = 0; i + 1 < symbols.Length; i++)
                index.Raise(PairKey.Of(symbols[i], symbols[i + 1]), count, wordIndex);
        }
        index.EnqueueRisen();
        return index;
    }

    public bool TryTakeMostFrequent(long minimumCount, out ulong pair)
    {
        while (_queue.TryDequeue(out pair, out MergePriority priority))
        {
            long count = _entries[_slotOfPair[pair]].Count;
            if (count < minimumCount)
                continue;
            if (count == priority.Count)
                return true;
            if (count < priority.Count)
                _queue.Enqueue(pair, new MergePriority(count, pair));
        }
        return false;
    }

    public void Apply(Merge merge)
    {
        PairEntry merged = _entries[_slotOfPair[PairKey.Of(merge.Left, merge.Right)]];
        List<int> wordIndices = merged.TakeWords();
        foreach (int wordIndex in wordIndices)
            Rewrite(wordIndex, merge);
        merged.Count = 0;
        EnqueueRisen();
    }

    private void Rewrite(int wordIndex, Merge merge)
    {
        WordSymbols word = _words[wordIndex];
        int[] symbols = word.Symbols;
        int written = 0;
        for (int read = 0; read < word.Length; read++)
        {
            bool isPair = symbols[read] == merge.Left && read + 1 < word.Length && symbols[read + 1] == merge.Right;
            if (!isPair)
            {
                symbols[written++] = symbols[read];
                continue;
            }
            if (written > 0)
            {
                Lower(PairKey.Of(symbols[written - 1], merge.Left), word.Count);
                Raise(PairKey.Of(symbols[written - 1], merge.Result), word.Count, wordIndex);
            }
            read++;
            if (read + 1 < word.Length)
            {
                Lower(PairKey.Of(merge.Right, symbols[read + 1]), word.Count);
                Raise(PairKey.Of(merge.Result, symbols[read + 1]), word.Count, wordIndex);
            }
            symbols[written++] = merge.Result;
        }
        word.Length = written;
    }

    private void Lower(ulong pair, long count) => _entries[_slotOfPair[pair]].Count -= count;

    private void Raise(ulong pair, long count, int wordIndex)
    {
        ref int slot = ref CollectionsMarshal.GetValueRefOrAddDefault(_slotOfPair, pair, out bool isKnown);
        if (!isKnown)
        {
            slot = _entries.Count;
            _entries.Add(new PairEntry(pair));
        }
        PairEntry entry = _entries[slot];
        entry.Count += count;
        entry.AddWord(wordIndex);
        if (!entry.HasRisen)
        {
            entry.HasRisen = true;
            _risenSlots.Add(slot);
        }
    }

    private void EnqueueRisen()
    {
        foreach (int slot in _risenSlots)
        {
            PairEntry entry = _entries[slot];
            entry.HasRisen = false;
            if (entry.Count > 0)
                _queue.Enqueue(entry.Pair, new MergePriority(entry.Count, entry.Pair));
        }
        _risenSlots.Clear();
    }

    private sealed class WordSymbols(int[] symbols, long count)
    {
        public int[] Symbols { get; } = symbols;

        public int Length { get; set; } = symbols.Length;

        public long Count { get; } = count;
    }

    private sealed class PairEntry(ulong pair)
    {
        private List<int> _words = [];

        public ulong Pair { get; } = pair;

        public long Count { get; set; }

        public bool HasRisen { get; set; }

        // A word's pairs are counted in one go, so an index met twice is the last one.
        public void AddWord(int wordIndex)
        {
            if (_words.Count == 0 || _words[^1] != wordIndex)
                _words.Add(wordIndex);
        }

        public List<int> TakeWords()
        {
            List<int> words = _words;
            _words = [];
            return words;
        }
    }

    /// <summary>The more frequent first, then the smaller pair.</summary>
    private readonly record struct MergePriority(long Count, ulong Pair) : IComparable<MergePriority>
    {
        public int CompareTo(MergePriority other) => Count != other.Count ? other.Count.CompareTo(Count) : Pair.CompareTo(other.Pair);
    }
}
