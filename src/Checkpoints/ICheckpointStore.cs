namespace Pipeline.Checkpoints;

/// <summary>One try to save one step. Tries never touch each other's files, so a late writer of an older try can harm nothing.</summary>
/// <param name="Step">Steps committed before the checkpoint.</param>
/// <param name="Attempt">Raised with every new try of the step, and after every recovery.</param>
public readonly record struct SaveAttempt(long Step, int Attempt);

/// <summary>Whether a checkpoint can be used.</summary>
public enum CheckpointState
{
    /// <summary>It has a manifest, and everything that was checked agrees with it.</summary>
    Complete,

    /// <summary>It has no manifest: a save that is under way or was torn.</summary>
    Incomplete,

    /// <summary>It has a manifest, and something does not agree with it.</summary>
    Damaged,
}

/// <summary>One line of a listing.</summary>
/// <param name="Step">The step.</param>
/// <param name="Location">The folder or address.</param>
/// <param name="State">Whether it can be used.</param>
/// <param name="Problem">For all but complete ones, a sentence on what is wrong, naming file and tensor; else null.</param>
/// <param name="ByteCount">Size of its files as its manifest says; 0 where there is none.</param>
public sealed record CheckpointSummary(long Step, string Location, CheckpointState State, string? Problem, long ByteCount);

/// <summary>A checkpoint that was newer than the one chosen, but not usable.</summary>
/// <param name="Step">Its step.</param>
/// <param name="Sentence">What is wrong with it, and which one is used instead.</param>
public sealed record SkippedCheckpoint(long Step, string Sentence);

/// <summary>The newest usable checkpoint, and those that had to be skipped on the way to it.</summary>
/// <param name="Reader">Open, owned by the caller; null where no checkpoint is usable.</param>
/// <param name="Skipped">Newest first.</param>
public sealed record CheckpointSelection(CheckpointReader? Reader, IReadOnlyList<SkippedCheckpoint> Skipped)
{
    /// <summary>The reader, or an error that tells why there is none.</summary>
    /// <exception cref="CheckpointException">No checkpoint is usable.</exception>
    public CheckpointReader Require() => Reader ?? throw new CheckpointException(Skipped.Count == 0
        ? "There is no checkpoint to resume from: none was saved."
        : $"There is no usable checkpoint. {string.Join(' ', Skipped.Select(s => s.Sentence))}");
}

/// <summary>What a pruning removed.</summary>
/// <param name="Steps">Checkpoints, newest first.</param>
/// <param name="LeftoverCount">Leftovers of saves that were torn or replaced.</param>
public sealed record PruneReport(IReadOnlyList<long> Steps, int LeftoverCount);

/// <summary>
/// Where checkpoints live. Stages write their files, possibly from several processes; the coordinator commits. Until the commit nothing
/// is visible, and a failure at any point leaves the checkpoints saved before as they were.
/// </summary>
public interface ICheckpointStore
{
    /// <summary>Writes a safetensors file of a save attempt and puts it on the device.</summary>
    /// <exception cref="CheckpointException">The disk is full, the folder is not writable, or the like; says what to do.</exception>
    StoredFile WriteTensors(SaveAttempt attempt, string fileName, IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata = null);

    /// <summary>Writes a small file of another kind, such as the configuration, into a save attempt.</summary>
    /// <exception cref="CheckpointException">As above.</exception>
    StoredFile WriteText(SaveAttempt attempt, string fileName, string text);

    /// <summary>Makes the files of an attempt a checkpoint: the weight index, then the manifest, then one rename. A checkpoint of the same step is replaced.</summary>
    /// <exception cref="CheckpointException">As above, or a file is missing or has another size than was written.</exception>
    CheckpointManifest Commit(SaveAttempt attempt, CheckpointDescription description, IReadOnlyList<StoredFile> files);

    /// <summary>Removes what an attempt has written, for example after a full disk.</summary>
    void Abandon(SaveAttempt attempt);

    /// <summary>Removes the checkpoints of all steps after one, newest first, also those that are to be kept: what they hold is not the run's past any more.</summary>
    /// <param name="step">Step.</param>
    /// <param name="mayRemove">
    /// Asked once all that is to be removed is known, and again before each; null for always. One that another process puts in the place of one that was seen stays: whoever
    /// slept between may be anybody by now.
    /// </param>
    /// <exception cref="CheckpointException">One could not be removed.</exception>
    void RemoveAfter(long step, Func<bool>? mayRemove = null);

    /// <summary>All checkpoints and torn saves, newest first.</summary>
    /// <param name="verify">Whether to read every byte and compare the hashes, or only manifests, sizes and headers.</param>
    IReadOnlyList<CheckpointSummary> List(bool verify = false);

    /// <summary>Opens the checkpoint of one step.</summary>
    /// <exception cref="CheckpointException">It is not there, incomplete or damaged.</exception>
    CheckpointReader Open(long step, bool verify = true);

    /// <summary>Opens the newest checkpoint that is complete and intact.</summary>
    CheckpointSelection OpenLatest(bool verify = true);

    /// <summary>
    /// Keeps the newest <paramref name="keepCount"/> complete checkpoints and removes older ones and the leftovers of torn saves.
    /// Before anything is removed, one of those kept is read and verified; where none is intact, more are kept until one is.
    /// </summary>
    PruneReport Prune(int keepCount);
}
