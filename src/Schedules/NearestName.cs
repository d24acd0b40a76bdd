namespace Pipeline.Schedules;

/// <summary>Finds what was probably meant by a name that is not known.</summary>
internal static class NearestName
{
    /// <summary>The closest of <paramref name="names"/>, or null where none is near: more than half of it would have to change.</summary>
    public static string? Find(string wanted, IEnumerable<string> names)
    {
        var nearest = names.MinBy(name => Distance(wanted, name));
        return nearest is not null && Distance(wanted, nearest) * 2 <= Math.Max(nearest.Length, wanted.Length) ? nearest : null;
    }

    // Levenshtein's distance, one row at a time, blind to case.
    private static int Distance(string left, string right)
    {
        var row = Enumerable.Range(0, right.Length + 1).ToArray();
        for (var i = 1; i <= left.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= right.Length; j++)
            {
                var isSame = char.ToLowerInvariant(left[i - 1]) == char.ToLowerInvariant(right[j - 1]);
                var replaced = diagonal + (isSame ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, 1 + Math.Min(row[j], row[j - 1]));
            }
        }

        return row[^1];
    }
}
