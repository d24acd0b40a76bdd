namespace Pipeline.Reduction;

/// <summary>
/// How a run finds out whether compressing pays: some steps without, as many with it, and whoever leads the run compares what they took. Which
/// step is which follows from its number alone, so that a replay sends the same bits.
/// </summary>
/// <param name="After">The trial begins after this step.</param>
/// <param name="Length">Steps without, and again steps with compression; at least 4.</param>
public sealed record CompressionTrial(long After, int Length)
{
    /// <summary>The last step of the trial.</summary>
    public long Last => After + 2 * Length;

    /// <summary>Whether a step is compressed; null once the trial is over, where its outcome says it.</summary>
    public bool? CompressesAt(long step) => step > Last ? null : step > After + Length;

    /// <summary>Whether a step's time counts: the first ones of each half are slower, while buffers are made and pages are touched.</summary>
    public bool Counts(long step) => step > After && step <= Last && (step - After - 1) % Length >= Length / 4;
}
