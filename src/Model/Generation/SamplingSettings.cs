namespace Pipeline.Model.Generation;

/// <summary>How the next token is drawn from the model's distribution.</summary>
public sealed record SamplingSettings
{
    /// <summary>Divides the logits; 0 takes the most likely token.</summary>
    public double Temperature { get; init; } = 0.8;

    /// <summary>Only the k most likely tokens; 0 allows all.</summary>
    public int TopK { get; init; }

    /// <summary>Only the smallest set of most likely tokens that holds this probability (Holtzman et al. 2020); 1 allows all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Seed of the draws; the n-th token of a text depends on (seed, n) alone.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Every fault of these settings, as sentences.</summary>
    public IReadOnlyList<string> Faults()
    {
        List<string> faults = [];
        if (!double.IsFinite(Temperature) || Temperature < 0) faults.Add($"The temperature is {Temperature}; 0 or more is expected.");
        if (TopK < 0) faults.Add($"top-k is {TopK}; 0 (off) or more is expected.");
        if (TopP is not (> 0 and <= 1)) faults.Add($"top-p is {TopP}; it must lie in (0, 1].");
        return faults;
    }
}
