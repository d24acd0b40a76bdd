using Pipeline.Protocol;

namespace Pipeline.Cli.Execution;

/// <summary>How a rank spent its own time of some steps, in seconds: the three add up to what its clock says that these steps took.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="Busy">In actions.</param>
/// <param name="Wait">The next action's inputs had been made elsewhere, but it had not begun: what messages cost.</param>
/// <param name="Bubble">All other time: inputs were not made yet, nothing was left to do, or the rank saw to something else.</param>
internal readonly record struct RankShare(int Rank, double Busy, double Wait, double Bubble)
{
    /// <summary>From the end of the step before them to the end of the last, where they follow one another.</summary>
    public double Seconds => Busy + Wait + Bubble;

    /// <summary>With another step.</summary>
    /// <param name="timing">Where the rank's time went, by its own clock.</param>
    /// <param name="wait">Of the idle time, as far as spans tell, that in which inputs had been made.</param>
    public RankShare With(StepTiming timing, double wait)
    {
        // Hashing and saving between two actions are in the spans' gaps, but not in the step's time.
        wait = Math.Clamp(wait, 0, Math.Max(0, timing.Seconds - timing.BusySeconds));
        return new RankShare(Rank, Busy + timing.BusySeconds, Wait + wait, Bubble + timing.Seconds - timing.BusySeconds - wait);
    }
}
