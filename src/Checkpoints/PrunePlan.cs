namespace Pipeline.Checkpoints;

/// <summary>What a pruning may remove. It reads the disk and decides; the store carries it out.</summary>
/// <param name="Checkpoints">Complete or damaged ones that are too old, newest first.</param>
/// <param name="Leftovers">Torn saves, replaced checkpoints, half-removed ones.</param>
internal sealed record PrunePlan(IReadOnlyList<CheckpointFolder> Checkpoints, IReadOnlyList<CheckpointFolder> Leftovers)
{
    internal static PrunePlan For(string root, int keepCount)
    {
        var folders = CheckpointFolder.Scan(root);
        var complete = folders.Where(folder => folder.Role == FolderRole.Checkpoint && CheckpointCatalog.IsComplete(folder)).ToList();
        if (complete.Count == 0)
            return new PrunePlan([], [.. folders.Where(folder => folder.Role == FolderRole.Removing)]);
        var newestStep = complete[0].Step;
        var kept = complete.Take(KeptCount(complete, keepCount)).ToHashSet();
        var oldestKeptStep = kept.Min(folder => folder.Step);
        return new PrunePlan(
            [.. folders.Where(folder => folder.Role == FolderRole.Checkpoint && folder.Step < oldestKeptStep && File.Exists(folder.ManifestPath) && !File.Exists(folder.KeepPath))],
            [.. folders.Where(folder => IsLeftover(folder, newestStep, complete))]);
    }

    /// <summary>
    /// At least as many as asked for, and as many more as it takes to have one whose every byte was verified: a checkpoint whose header
    /// looks well may still hold a flipped bit, and then an older one is the last good one.
    /// </summary>
    private static int KeptCount(List<CheckpointFolder> complete, int keepCount)
    {
        if (complete.Count <= keepCount)
            return complete.Count;
        var firstIntact = complete.FindIndex(CheckpointCatalog.IsIntact);
        return firstIntact < 0 ? complete.Count : Math.Max(keepCount, firstIntact + 1);
    }

    private static bool IsLeftover(CheckpointFolder folder, long newestStep, List<CheckpointFolder> complete) => folder.Role switch
    {
        FolderRole.Removing => true,
        FolderRole.Saving => folder.Step <= newestStep,
        FolderRole.Replaced => complete.Any(other => other.Step >= folder.Step && CheckpointCatalog.IsIntact(other)),
        FolderRole.Checkpoint => folder.Step < newestStep && !File.Exists(folder.ManifestPath),
        _ => false,
    };
}
