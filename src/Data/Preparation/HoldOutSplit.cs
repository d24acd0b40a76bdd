namespace Pipeline.Data;

/// <summary>Chooses the documents that are held out: whole ones, spread evenly over the corpus, always the same.</summary>
internal static class HoldOutSplit
{
    private const double GoldenRatio = 0.6180339887498949;

    /// <summary>Short of the target by this much, the choice ends; going on would take only documents that are small enough to fit.</summary>
    private const double EnoughOfTarget = 0.9;

    /// <param name="lengths">Bytes of each document, in the corpus's order; at least two, each above 0.</param>
    /// <param name="share">The share of bytes to hold out, (0, 0.5].</param>
    /// <returns>True for a document that is held out; at least one is and at least one is not.</returns>
    public static bool[] Choose(IReadOnlyList<long> lengths, double share)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(lengths.Count, 2);
        bool[] isHeldOut = new bool[lengths.Count];
        double target = share * lengths.Sum();
        double chosen = 0;
        foreach (int index in SpreadOrder(lengths.Count))
        {
            if (chosen >= EnoughOfTarget * target)
                break;
            // Half a document may go beyond the target. All can never be chosen, as the target is at most half of all bytes.
            if (chosen + (lengths[index] / 2.0) > target)
                continue;
            isHeldOut[index] = true;
            chosen += lengths[index];
        }
        if (chosen == 0)
            isHeldOut[IndexNearestTo(target, lengths)] = true;
        return isHeldOut;
    }

    /// <summary>Where a lone document is cut: at the next white space if one is near, so that no word is split.</summary>
    public static int CutOf(string text, double share)
    {
        int cut = Math.Clamp((int)(text.Length * (1 - share)), 1, text.Length);
        int space = text.AsSpan(cut).IndexOfAny(' ', '\n', '\t');
        if (space >= 0 && space < text.Length * share / 2)
            return cut + space;
        return cut < text.Length && char.IsLowSurrogate(text[cut]) ? cut - 1 : cut;
    }

    // Every index once, in steps of the golden section: wherever it ends, what was visited lies evenly, and length plays no part.
    private static IEnumerable<int> SpreadOrder(int count)
    {
        int stride = Math.Max(1, (int)(count * GoldenRatio));
        while (GreatestCommonDivisor(stride, count) != 1)
            stride++;
        for (long i = 1; i <= count; i++)
            yield return (int)(i * stride % count);
    }

    private static int GreatestCommonDivisor(int a, int b)
    {
        while (b != 0)
            (a, b) = (b, a % b);
        return a;
    }

    private static int IndexNearestTo(double target, IReadOnlyList<long> lengths)
    {
        int nearest = 0;
        for (int i = 1; i < lengths.Count; i++)
        {
            if (Math.Abs(lengths[i] - target) < Math.Abs(lengths[nearest] - target))
                nearest = i;
        }
        return nearest;
    }
}
