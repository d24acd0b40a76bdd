using System.Runtime.CompilerServices;

namespace Pipeline.Model.Numerics;

/// <summary>
/// Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a pure function
/// from a 64-bit key and a 128-bit counter to 128 random bits, so that any worker draws any number without state.
/// </summary>
public static class Philox
{
    /// <summary>Four random words of a key and a counter.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (uint A, uint B, uint C, uint D) Draw(ulong key, uint c0, uint c1, ulong c23)
    {
        uint k0 = (uint)key, k1 = (uint)(key >> 32), a = c0, b = c1, c = (uint)c23, d = (uint)(c23 >> 32);
        for (var round = 0; round < 10; round++)
        {
            var first = 0xD2511F53UL * a;
            var second = 0xCD9E8D57UL * c;
            (a, b, c, d) = ((uint)(second >> 32) ^ b ^ k0, (uint)second, (uint)(first >> 32) ^ d ^ k1, (uint)first);
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }

        return (a, b, c, d);
    }

    /// <summary>A key from a seed and a name (FNV-1a over its UTF-16 code units), so that names draw independent streams.</summary>
    public static ulong Key(ulong seed, string name)
    {
        var hash = 14695981039346656037UL ^ seed;
        foreach (var unit in name) hash = (hash ^ unit) * 1099511628211UL;
        hash ^= hash >> 32;
        return hash * 0x9E3779B97F4A7C15UL;
    }

    /// <summary>A double in (0, 1) from 32 bits, never 0 and never 1.</summary>
    public static double Open(uint bits) => (bits + 0.5) * (1.0 / 4294967296.0);
}
