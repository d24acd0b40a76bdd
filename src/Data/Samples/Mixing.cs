namespace Pipeline.Data;

/// <summary>The output function of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").</summary>
internal static class Mixing
{
    private const ulong GoldenRatio = 0x9E3779B97F4A7C15;

    public static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }

    /// <summary>A number that depends on both values and on their order.</summary>
    public static ulong Combine(ulong first, ulong second) => Mix(Mix(first + GoldenRatio) + (second * GoldenRatio) + GoldenRatio);
}
