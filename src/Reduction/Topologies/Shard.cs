namespace Pipeline.Reduction.Topologies;

/// <summary>A range of a bucket whose sum is completed at one place.</summary>
/// <param name="Index">Place among the bucket's shards, from 0.</param>
/// <param name="Start">First element.</param>
/// <param name="Length">Number of elements, at least 1.</param>
/// <param name="Owner">Who completes the sum; with a sharded optimizer it also updates these weights.</param>
public readonly record struct Shard(int Index, int Start, int Length, Participant Owner)
{
    /// <summary>Shards begin at multiples of so many elements: two cache lines of fp32, as the flat buffers' parameters do.</summary>
    public const int Alignment = 32;

    /// <summary>Cuts a bucket into one shard an owner, as even as <see cref="Alignment"/> allows; a short one leaves owners without.</summary>
    public static IReadOnlyList<Shard> Cut(int length, IReadOnlyList<Participant> owners)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        var lineCount = ((long)length + Alignment - 1) / Alignment;
        var shards = owners.Select((owner, index) =>
        {
            var start = Math.Min(length, lineCount * index / owners.Count * Alignment);
            var end = Math.Min(length, lineCount * (index + 1) / owners.Count * Alignment);
            return new Shard(index, (int)start, (int)(end - start), owner);
        });
        return [.. shards.Where(shard => shard.Length > 0)];
    }
}
