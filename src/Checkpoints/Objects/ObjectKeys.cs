using System.Globalization;

namespace Pipeline.Checkpoints.Objects;

/// <summary>
/// Where the objects of a save attempt lie: <c>PREFIX/step-40/attempt-2/NAME</c>. There is no rename in an object store: an attempt becomes a
/// checkpoint by its manifest, which is written last.
/// </summary>
/// <param name="prefix">Prefix of the run, without slashes at its ends; empty for the bucket's root.</param>
internal sealed class ObjectKeys(string prefix)
{
    private readonly string _root = prefix.Length == 0 ? "" : prefix.Trim('/') + "/";

    /// <summary>Prefix of every key of the run's checkpoints.</summary>
    internal string Root => _root + "step-";

    internal string Of(SaveAttempt attempt, string fileName) => Folder(attempt) + fileName;

    internal string Folder(SaveAttempt attempt) => string.Create(CultureInfo.InvariantCulture, $"{Root}{attempt.Step}/attempt-{attempt.Attempt}/");

    /// <summary>The attempts that a listing shows, newest step and attempt first; what has another name is not ours and is left alone.</summary>
    internal IReadOnlyList<ObjectAttempt> Attempts(IEnumerable<StoredObject> listing) =>
    [
        .. listing.Select(item => (Item: item, Place: Parse(item.Key))).Where(pair => pair.Place is not null)
            .GroupBy(pair => pair.Place!.Value.Attempt)
            .Select(group => new ObjectAttempt(group.Key, group.ToDictionary(pair => pair.Place!.Value.Name, pair => pair.Item, StringComparer.Ordinal)))
            .OrderByDescending(attempt => attempt.Attempt.Step).ThenByDescending(attempt => attempt.Attempt.Attempt),
    ];

    private (SaveAttempt Attempt, string Name)? Parse(string key)
    {
        if (!key.StartsWith(Root, StringComparison.Ordinal)) return null;
        var parts = key[Root.Length..].Split('/');
        if (parts.Length != 3 || !parts[1].StartsWith("attempt-", StringComparison.Ordinal) || !CheckpointFileName.IsPlain(parts[2])) return null;
        return long.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var step)
            && int.TryParse(parts[1].AsSpan("attempt-".Length), NumberStyles.None, CultureInfo.InvariantCulture, out var attempt)
            && Of(new(step, attempt), parts[2]) == key ? (new SaveAttempt(step, attempt), parts[2]) : null;
    }
}

/// <summary>What lies of one save attempt.</summary>
/// <param name="Attempt">Which.</param>
/// <param name="Objects">Its objects by file name.</param>
internal sealed record ObjectAttempt(SaveAttempt Attempt, IReadOnlyDictionary<string, StoredObject> Objects)
{
    /// <summary>Whether it was committed.</summary>
    internal bool HasManifest => Objects.ContainsKey(CheckpointFileName.Manifest);
}
