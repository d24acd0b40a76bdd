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

    /// <summary>
    /// Cuts shards into pieces, which are shards themselves: each travels, is added up and answered while the next is on its way, and fits the
    /// processor's cache between these.
    /// </summary>
    /// <param name="shards">Ranges of a bucket, in order.</param>
    /// <param name="pieceLength">Most elements of a piece.</param>
    public static IReadOnlyList<Shard> InPieces(IReadOnlyList<Shard> shards, int pieceLength)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(pieceLength, 1);
        List<Shard> pieces = [];
        foreach (var shard in shards)
        {
            for (var start = 0; start < shard.Length; start += Math.Min(pieceLength, shard.Length - start))
                pieces.Add(new Shard(pieces.Count, shard.Start + start, Math.Min(pieceLength, shard.Length - start), shard.Owner));
        }

        return pieces;
    }
}
