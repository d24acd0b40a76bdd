using System.Numerics;

namespace Pipeline.Data;

/// <summary>
/// A permutation of 0 to count − 1 that is computed for one index at a time, without a table: a Feistel network over the next even
/// number of bits, walked until it falls into the range (Black, Rogaway 2002, "Ciphers with arbitrary finite domains",
/// cycle walking). The domain is less than four times the range, so that fewer than four steps are expected.
/// </summary>
internal readonly struct IndexPermutation
{
    private const int RoundCount = 8;

    private readonly ulong _key;
    private readonly ulong _count;
    private readonly int _halfBits;

    public IndexPermutation(ulong key, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        _key = key;
        _count = (ulong)count;
        int bits = 64 - BitOperations.LeadingZeroCount(_count - 1);
        _halfBits = Math.Max(1, (bits + 1) / 2);
    }

    public long this[long index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(index);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)index, _count, nameof(index));
            ulong value = (ulong)index;
            do
                value = Encrypt(value);
            while (value >= _count);
            return (long)value;
        }
    }

    private ulong Encrypt(ulong value)
    {
        ulong mask = (1UL << _halfBits) - 1;
        ulong left = value >> _halfBits;
        ulong right = value & mask;
        for (int round = 0; round < RoundCount; round++)
            (left, right) = (right, left ^ (Mixing.Combine(_key + (ulong)round, right) & mask));
        return (left << _halfBits) | right;
    }
}
