using Pipeline.Checkpoints;

namespace Pipeline.Coordinator;

/// <summary>Turns written parts into a checkpoint. Blocks on the disk: called on a task, never by an actor.</summary>
/// <param name="store">Where checkpoints lie.</param>
/// <param name="describe">What the run says of its state after a step.</param>
/// <param name="keepCount">Checkpoints kept, at least 1.</param>
/// <param name="texts">Small files that go into every checkpoint, by name, such as the configuration.</param>
public sealed class CheckpointKeeper(
    ICheckpointStore store,
    Func<long, CheckpointDescription> describe,
    int keepCount,
    IReadOnlyDictionary<string, string>? texts = null)
{
    /// <summary>Checkpoints kept.</summary>
    internal int KeepCount => keepCount;

    /// <summary>Writes index and manifest; the checkpoint exists from then on. Older ones are pruned.</summary>
    /// <returns>Bytes of its files, and why older ones could not be removed, if so.</returns>
    /// <exception cref="CheckpointException">Disk full, folder not writable, or the like.</exception>
    internal (long ByteCount, string? Warning) Commit(SaveAttempt attempt, IReadOnlyList<StoredFile> files)
    {
        var extra = (texts ?? new Dictionary<string, string>(StringComparer.Ordinal)).Select(text => store.WriteText(attempt, text.Key, text.Value));
        var manifest = store.Commit(attempt, describe(attempt.Step), [.. files, .. extra]);
        return (manifest.Files.Sum(file => file.ByteCount), Prune());
    }

    private string? Prune()
    {
        try
        {
            store.Prune(keepCount);
            return null;
        }
        catch (CheckpointException fault)
        {
            return fault.Message;
        }
    }

    /// <summary>Removes what a failed attempt has left.</summary>
    internal void Abandon(SaveAttempt attempt) => store.Abandon(attempt);
}
