using Pipeline.Checkpoints;

namespace Pipeline.Coordinator;

/// <summary>Turns written parts into a checkpoint. Blocks on the disk: called on a task, never by an actor.</summary>
/// <param name="store">Where checkpoints lie.</param>
/// <param name="describe">What the run says of its state after a step.</param>
/// <param name="keepCount">Checkpoints kept, at least 1.</param>
/// <param name="texts">Small files that go into every checkpoint, by name, such as the configuration.</param>
/// <param name="patience">A manifest that is being written for longer holds the next one up no more; null for a minute.</param>
public sealed class CheckpointKeeper(
    ICheckpointStore store,
    Func<long, CheckpointDescription> describe,
    int keepCount,
    IReadOnlyDictionary<string, string>? texts = null,
    TimeSpan? patience = null)
{
    /// <summary>Checkpoints kept.</summary>
    internal int KeepCount => keepCount;

    /// <summary>How long what is to be written waits for what is being written.</summary>
    internal TimeSpan Patience { get; } = patience ?? TimeSpan.FromSeconds(60);

    /// <summary>Writes index and manifest; the checkpoint exists from then on.</summary>
    /// <returns>Bytes of its files.</returns>
    /// <exception cref="CheckpointException">Disk full, folder not writable, or the like.</exception>
    internal long Commit(SaveAttempt attempt, IReadOnlyList<StoredFile> files)
    {
        var extra = (texts ?? new Dictionary<string, string>(StringComparer.Ordinal)).Select(text => store.WriteText(attempt, text.Key, text.Value));
        return store.Commit(attempt, describe(attempt.Step), [.. files, .. extra]).Files.Sum(file => file.ByteCount);
    }

    /// <summary>Removes checkpoints that are older than those that are kept. Only once the newest is known to be one of the run's: all may have gone back to before it.</summary>
    /// <returns>Why they could not be removed, if so.</returns>
    internal string? Prune()
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

    /// <summary>Removes the checkpoints of all steps after one; none if that one is not there to be gone back to.</summary>
    /// <param name="step">Step.</param>
    /// <param name="mayRemove">Asked between looking and removing.</param>
    /// <exception cref="CheckpointException">Some could not be removed.</exception>
    internal void RemoveAfter(long step, Func<bool> mayRemove)
    {
        if (step == 0 || store.List().Any(summary => summary.Step == step && summary.State == CheckpointState.Complete)) store.RemoveAfter(step, mayRemove);
        else throw new CheckpointException($"There is no checkpoint of step {step}: the later ones were left.");
    }

    /// <summary>What is told where the checkpoints after a step, to which all went back, could not be removed.</summary>
    public static RunNotice StaleCheckpoints(long step, CheckpointException fault) => new RunNotice.Warned(
        "stale-checkpoint", step, $"Checkpoints after step {step} are of a past that was rolled back and could not be removed; until they are replaced, do not resume from them. {fault.Message}");

    /// <summary>Removes what a failed attempt has left.</summary>
    internal void Abandon(SaveAttempt attempt) => store.Abandon(attempt);
}
