namespace Pipeline.Schedules;

/// <summary>
/// Durations of actions that differ from time to time, as those of real machines do: each action takes its cost times a factor of its own, around 1.
/// The same draw gives the same factors. A schedule in which ranks wait for one another at every action loses by it what another keeps.
/// </summary>
/// <param name="Spread">Standard deviation of the factor, from 0; 0.1 where actions differ by a tenth.</param>
/// <param name="Draw">Which draw.</param>
public readonly record struct Jitter(double Spread, int Draw)
{
    private const int TermCount = 12;
    private const double Least = 0.1;

    /// <summary>The factor of an action: the sum of twelve uniform numbers is nearly normal, with a variance of 1.</summary>
    internal double Factor(int rank, int position)
    {
        if (Spread == 0)
            return 1;
        var state = unchecked(((ulong)(uint)Draw << 48) ^ ((ulong)(uint)rank << 32) ^ (uint)position);
        var sum = 0.0;
        for (var term = 0; term < TermCount; term++)
            sum += Next(ref state);
        return Math.Max(Least, 1 + (Spread * (sum - (TermCount / 2.0))));
    }

    // SplitMix64 (Steele, Lea and Flood, 2014).
    private static double Next(ref ulong state)
    {
        unchecked
        {
            var mixed = state += 0x9E3779B97F4A7C15;
            mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
            mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
            return ((mixed ^ (mixed >> 31)) >> 11) * (1.0 / (1UL << 53));
        }
    }
}
