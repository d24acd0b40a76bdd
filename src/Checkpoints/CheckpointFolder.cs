using System.Globalization;

namespace Pipeline.Checkpoints;

/// <summary>What the name of a folder in the store says about it.</summary>
internal enum FolderRole
{
    /// <summary><c>step-40</c>: a checkpoint.</summary>
    Checkpoint,

    /// <summary><c>step-40.replaced</c>: the former checkpoint of the step, in the moment in which a new one takes its place.</summary>
    Replaced,

    /// <summary><c>step-40.saving-2</c>: a save attempt.</summary>
    Saving,

    /// <summary><c>step-40.removing</c>: a checkpoint on its way out.</summary>
    Removing,
}

/// <summary>A folder of the store, known by its name.</summary>
internal sealed record CheckpointFolder(string Path, long Step, FolderRole Role)
{
    private const string Prefix = "step-";
    private const string SavingSuffix = "saving-";

    /// <summary>The file beside the folder that says that no pruning may remove it.</summary>
    internal string KeepPath => Path + ".keep";

    internal string ManifestPath => System.IO.Path.Combine(Path, CheckpointFileName.Manifest);

    /// <summary>Whether it may be chosen as a checkpoint.</summary>
    internal bool IsCandidate => Role is FolderRole.Checkpoint or FolderRole.Replaced;

    internal static CheckpointFolder Of(string root, long step, FolderRole role) => role switch
    {
        FolderRole.Checkpoint => new(System.IO.Path.Combine(root, Invariant($"{Prefix}{step}")), step, role),
        FolderRole.Replaced => new(System.IO.Path.Combine(root, Invariant($"{Prefix}{step}.replaced")), step, role),
        FolderRole.Removing => new(System.IO.Path.Combine(root, Invariant($"{Prefix}{step}.removing")), step, role),
        _ => throw new ArgumentOutOfRangeException(nameof(role), role, "A save attempt also has a number."),
    };

    internal static CheckpointFolder Of(string root, SaveAttempt attempt)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(attempt.Step);
        ArgumentOutOfRangeException.ThrowIfNegative(attempt.Attempt);
        return new(System.IO.Path.Combine(root, Invariant($"{Prefix}{attempt.Step}.{SavingSuffix}{attempt.Attempt}")), attempt.Step, FolderRole.Saving);
    }

    /// <summary>All folders of the store, newest step first; anything with another name is not ours and is left alone.</summary>
    internal static List<CheckpointFolder> Scan(string root)
    {
        if (!Directory.Exists(root))
            return [];
        try
        {
            return [.. Directory.EnumerateDirectories(root, Prefix + "*")
                .Select(Parse)
                .OfType<CheckpointFolder>()
                .OrderByDescending(folder => folder.Step)
                .ThenBy(folder => folder.Role)
                .ThenBy(folder => folder.Path, StringComparer.Ordinal)];
        }
        catch (Exception exception) when (CheckpointException.IsFileFault(exception))
        {
            throw CheckpointException.WhileReading(root, exception);
        }
    }

    private static CheckpointFolder? Parse(string path)
    {
        var name = System.IO.Path.GetFileName(path)[Prefix.Length..];
        var dot = name.IndexOf('.', StringComparison.Ordinal);
        var number = dot < 0 ? name : name[..dot];
        if (!long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var step) || Invariant($"{step}") != number)
            return null;
        FolderRole? role = dot < 0 ? FolderRole.Checkpoint : name[(dot + 1)..] switch
        {
            "replaced" => FolderRole.Replaced,
            "removing" => FolderRole.Removing,
            var suffix when suffix.StartsWith(SavingSuffix, StringComparison.Ordinal) => FolderRole.Saving,
            _ => null,
        };
        return role is { } known ? new CheckpointFolder(path, step, known) : null;
    }

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
