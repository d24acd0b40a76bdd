namespace Pipeline.Data;

/// <summary>How often each key occurs: sorted keys beside their counts, looked up by bisection.</summary>
internal sealed class CountTable
{
    private readonly ulong[] _keys;
    private readonly int[] _counts;

    private CountTable(ulong[] keys, int[] counts)
    {
        _keys = keys;
        _counts = counts;
    }

    public ReadOnlySpan<ulong> Keys => _keys;

    public ReadOnlySpan<int> Counts => _counts;

    /// <param name="keys">One for each occurrence; sorted in place.</param>
    public static CountTable Of(ulong[] keys)
    {
        Array.Sort(keys);
        List<int> counts = [];
        int distinctCount = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            if (i > 0 && keys[i] == keys[distinctCount - 1])
            {
                counts[^1]++;
                continue;
            }
            keys[distinctCount++] = keys[i];
            counts.Add(1);
        }
        return new CountTable(keys[..distinctCount], [.. counts]);
    }

    public int CountOf(ulong key)
    {
        int place = Array.BinarySearch(_keys, key);
        return place < 0 ? 0 : _counts[place];
    }

    /// <summary>
    /// The absolute discount of Ney, Essen, Kneser 1994: n₁ ÷ (n₁ + 2 n₂), where nᵢ keys occur i times. A half where no key occurs
    /// once, since the estimate would leave nothing for what was not seen.
    /// </summary>
    public double Discount()
    {
        long once = 0;
        long twice = 0;
        foreach (int count in _counts)
        {
            once += count == 1 ? 1 : 0;
            twice += count == 2 ? 1 : 0;
        }
        return once == 0 ? 0.5 : once / (double)(once + (2 * twice));
    }
}
