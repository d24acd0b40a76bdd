namespace Pipeline.Checkpoints;

/// <summary>What a folder of checkpoints holds, and which of them can be used. It only reads.</summary>
internal static class CheckpointCatalog
{
    internal static IReadOnlyList<CheckpointSummary> List(string root, bool verify) =>
        [.. CheckpointFolder.Scan(root).Where(folder => folder.Role != FolderRole.Removing).Select(folder => Summarize(folder, verify))];

    internal static bool IsComplete(CheckpointFolder folder) => Summarize(folder, verify: false).State == CheckpointState.Complete;

    internal static bool IsIntact(CheckpointFolder folder) => Summarize(folder, verify: true).State == CheckpointState.Complete;

    internal static CheckpointReader Open(string root, long step, bool verify)
    {
        var folders = CheckpointFolder.Scan(root).Where(folder => folder.IsCandidate).ToList();
        var matching = folders.Where(folder => folder.Step == step).ToList();
        if (matching.Count == 0)
        {
            var steps = folders.Select(folder => folder.Step).Distinct().Select(number => FormattableString.Invariant($"{number}"));
            throw new CheckpointException($"{root} holds no checkpoint of step {step}; there {(folders.Count == 0 ? "is none at all" : "are those of the steps " + string.Join(", ", steps))}.");
        }

        return TryOpen(matching[0], verify, out var reader, out var problem) || (matching.Count > 1 && TryOpen(matching[1], verify, out reader, out _))
            ? reader!
            : throw new CheckpointException($"The checkpoint of step {step} cannot be used: {problem}");
    }

    internal static CheckpointSelection OpenLatest(string root, bool verify)
    {
        var skipped = new List<(long Step, string Problem)>();
        CheckpointReader? reader = null;
        foreach (var folder in CheckpointFolder.Scan(root).Where(folder => folder.IsCandidate))
        {
            if (TryOpen(folder, verify, out reader, out var problem))
                break;
            skipped.Add((folder.Step, problem!));
        }

        var remedy = reader is null ? "There is no older one to fall back to." : FormattableString.Invariant($"Falls back to step {reader.Step}.");
        return new CheckpointSelection(reader, [.. skipped.Select(item =>
            new SkippedCheckpoint(item.Step, FormattableString.Invariant($"The checkpoint of step {item.Step} cannot be used: {item.Problem} {remedy}")))]);
    }

    private static bool TryOpen(CheckpointFolder folder, bool verify, out CheckpointReader? reader, out string? problem)
    {
        (reader, problem) = (null, null);
        try
        {
            if (!Path.Exists(folder.ManifestPath))
            {
                problem = $"{folder.Path} has no {CheckpointFileName.Manifest}, so its saving was never finished.";
                return false;
            }

            var manifest = CheckpointVerifier.ReadManifest(folder);
            CheckpointVerifier.Verify(folder, manifest, verify);
            reader = new CheckpointReader(folder.Path, manifest);
            return true;
        }
        catch (CheckpointException exception)
        {
            problem = exception.Message;
            return false;
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            // Whoever looks while it is removed finds a part of it.
            problem = $"{folder.Path} is not whole: {exception.Message}";
            return false;
        }
    }

    private static CheckpointSummary Summarize(CheckpointFolder folder, bool verify)
    {
        if (folder.Role == FolderRole.Saving)
            return new(folder.Step, folder.Path, CheckpointState.Incomplete, $"{folder.Path} is a save that is under way or was torn.", 0);
        if (TryOpen(folder, verify, out var reader, out var problem))
        {
            using (reader)
                return new(folder.Step, folder.Path, CheckpointState.Complete, null, reader!.Manifest.Files.Sum(file => file.ByteCount));
        }

        var state = Path.Exists(folder.ManifestPath) ? CheckpointState.Damaged : CheckpointState.Incomplete;
        return new(folder.Step, folder.Path, state, problem, 0);
    }
}
