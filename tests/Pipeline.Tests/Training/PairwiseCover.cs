namespace Pipeline.Tests.Training;

/// <summary>
/// Few combinations that contain every pair of values of two factors that any valid combination contains. Greedy: each next one covers
/// most of the pairs that are left; ties go to the earlier one, so that the result is the same every time.
/// </summary>
internal static class PairwiseCover
{
    /// <summary>A covering subset, in the order of the list.</summary>
    /// <param name="all">Every valid combination, as the number of its value for each factor.</param>
    internal static IReadOnlyList<int> Of(IReadOnlyList<int[]> all)
    {
        var pairs = all.Select(PairsOf).ToArray();
        HashSet<int> open = [.. pairs.SelectMany(own => own)];
        List<int> chosen = [];
        while (open.Count > 0)
        {
            var best = Enumerable.Range(0, all.Count).MaxBy(index => pairs[index].Count(open.Contains));
            chosen.Add(best);
            open.ExceptWith(pairs[best]);
        }

        chosen.Sort();
        return chosen;
    }

    private static int[] PairsOf(int[] values) =>
    [
        .. from first in Enumerable.Range(0, values.Length)
           from second in Enumerable.Range(first + 1, values.Length - first - 1)
           select (((first * 16) + second) * 64 + values[first]) * 64 + values[second],
    ];
}
