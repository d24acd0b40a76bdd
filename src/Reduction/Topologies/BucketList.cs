namespace Pipeline.Reduction.Topologies;

/// <summary>Units whose gradients are reduced together.</summary>
/// <param name="Index">Place in the order of reduction, from 0.</param>
/// <param name="Units">Indices of units in the order in which backward finishes them: the last of the model first.</param>
/// <param name="Length">Elements of all of them.</param>
public sealed record Bucket(int Index, IReadOnlyList<int> Units, long Length);

/// <summary>Groups units to buckets.</summary>
public static class BucketList
{
    /// <summary>
    /// Fills buckets with units in the order in which backward finishes them. A bucket is closed once it has the wanted length, so
    /// that a large unit is not held up by small ones; the last bucket, which nothing can hide, is what is left.
    /// </summary>
    /// <param name="unitLengths">Elements of each unit in the model's order.</param>
    /// <param name="wantedLength">Elements that a bucket should have at least.</param>
    /// <param name="cuts">Units with which a bucket ends in any case, since those before them lie elsewhere with some replica; null for none.</param>
    public static IReadOnlyList<Bucket> Of(IReadOnlyList<long> unitLengths, long wantedLength, IReadOnlyCollection<int>? cuts = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(wantedLength, 1);
        List<Bucket> buckets = [];
        List<int> units = [];
        long length = 0;
        for (var unit = unitLengths.Count - 1; unit >= 0; unit--)
        {
            units.Add(unit);
            length += unitLengths[unit];
            if (length < wantedLength && unit > 0 && cuts?.Contains(unit) != true) continue;
            buckets.Add(new Bucket(buckets.Count, units, length));
            units = [];
            length = 0;
        }

        return buckets;
    }
}
