namespace Pipeline.Training;

/// <summary>What a plan expects the ranks of a pipeline to compute in a step, with the units that it gave their stages. A value.</summary>
/// <param name="UnitCounts">Units of each stage.</param>
/// <param name="RankSeconds">By rank, in a step, above 0.</param>
public sealed record PlannedTimes(IReadOnlyList<int> UnitCounts, IReadOnlyList<double> RankSeconds)
{
    // Measured costs are within a few percent of what units take in a run.
    private const double Otherwise = 1.1;

    /// <summary>By unit, what it should need in a step on a node of speed 1, in seconds; empty where only the ranks' times are known.</summary>
    public IReadOnlyList<double> UnitSeconds { get; init; } = [];

    /// <summary>By rank, the speed of its node; empty for nodes that are alike.</summary>
    public IReadOnlyList<double> RankSpeeds { get; init; } = [];

    /// <summary>
    /// Whether ranks need what they were meant to need beside one another. A plan may mean them to differ, since memory or whole units leave no other cut:
    /// that is no reason to move units. All of them slower than planned is none either.
    /// </summary>
    /// <param name="unitCounts">Units of each stage now.</param>
    /// <param name="rankSeconds">By rank, measured.</param>
    public bool AreMet(IReadOnlyList<int> unitCounts, IReadOnlyList<double> rankSeconds)
    {
        if (!unitCounts.SequenceEqual(UnitCounts) || rankSeconds.Count != RankSeconds.Count) return false;
        double[] shares = [.. rankSeconds.Zip(RankSeconds, (measured, planned) => measured / planned)];
        return shares.Max() <= shares.Min() * Otherwise;
    }
}
