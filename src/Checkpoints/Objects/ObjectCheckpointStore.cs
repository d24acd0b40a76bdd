using System.Text;

namespace Pipeline.Checkpoints.Objects;

/// <summary>
/// Checkpoints in an object store, by the rules of the folder's: each file hashed while it is written, the manifest last, attempts apart from
/// each other, the newest that is intact is used and damage is named. Files are made and read in a local folder, and travel as a whole.
/// </summary>
public sealed class ObjectCheckpointStore : ICheckpointStore
{
    private readonly IObjectStore _objects;
    private readonly ObjectKeys _keys;
    private readonly ObjectMirror _mirror;
    private readonly string _staging;

    /// <summary>Opens it; nothing is asked of the store yet.</summary>
    /// <param name="objects">The object store.</param>
    /// <param name="prefix">Prefix of the run's keys.</param>
    /// <param name="localFolder">For files on their way; needs the room of one checkpoint, or of two to resume from.</param>
    public ObjectCheckpointStore(IObjectStore objects, string prefix, string localFolder)
    {
        _objects = objects;
        _keys = new(prefix);
        _staging = Path.Combine(Path.GetFullPath(localFolder), "uploads");
        _mirror = new(objects, Path.Combine(Path.GetFullPath(localFolder), "mirror"));
    }

    /// <inheritdoc/>
    public StoredFile WriteTensors(SaveAttempt attempt, string fileName, IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        // Written by the folder's own code, so that both stores hold the same files.
        var folder = Path.Combine(_staging, Guid.NewGuid().ToString("N"));
        FolderCheckpointStore local = new(folder);
        try
        {
            var stored = local.WriteTensors(attempt, fileName, tensors, metadata);
            using var stream = File.OpenRead(Path.Combine(CheckpointFolder.Of(folder, attempt).Path, fileName));
            _objects.Put(_keys.Of(attempt, fileName), stream);
            return stored;
        }
        finally
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        }
    }

    /// <inheritdoc/>
    public StoredFile WriteText(SaveAttempt attempt, string fileName, string text)
    {
        if (CheckpointFileName.HoldsTensors(fileName) || fileName is CheckpointFileName.Manifest or CheckpointFileName.WeightIndex || !CheckpointFileName.IsPlain(fileName))
            throw new ArgumentException($"'{fileName}' is not the name of a text file that a caller may write.", nameof(fileName));
        return PutBytes(attempt, fileName, Encoding.UTF8.GetBytes(text));
    }

    /// <inheritdoc/>
    public CheckpointManifest Commit(SaveAttempt attempt, CheckpointDescription description, IReadOnlyList<StoredFile> files)
    {
        var there = _objects.List(_keys.Folder(attempt)).ToDictionary(item => item.Key, item => item.ByteCount, StringComparer.Ordinal);
        foreach (var file in files)
        {
            var key = _keys.Of(attempt, file.Name);
            if (!there.TryGetValue(key, out var byteCount) || byteCount != file.ByteCount)
                throw new CheckpointException($"Cannot commit the checkpoint: {_objects.Address}/{key} should have {file.ByteCount} bytes, {(there.ContainsKey(key) ? $"it has {byteCount}" : "it is not there")}. All stages must save into the same bucket and prefix.");
        }

        if (ManifestValidator.FindFault(CheckpointManifest.Of(attempt.Step, description, files)) is { } fault)
            throw new ArgumentException($"These files make no checkpoint: {fault}.", nameof(files));
        IReadOnlyList<StoredFile> allFiles = files.Any(file => CheckpointFileName.HoldsWeights(file.Name))
            ? [.. files, PutBytes(attempt, CheckpointFileName.WeightIndex, WeightIndex.Text(files))]
            : files;
        var manifest = CheckpointManifest.Of(attempt.Step, description, allFiles);
        PutBytes(attempt, CheckpointFileName.Manifest, ManifestText.Write(manifest));
        return manifest;
    }

    /// <inheritdoc/>
    public void Abandon(SaveAttempt attempt) => Remove(new(attempt, _objects.List(_keys.Folder(attempt))
        .ToDictionary(item => item.Key[_keys.Folder(attempt).Length..], item => item, StringComparer.Ordinal)));

    /// <inheritdoc/>
    public IReadOnlyList<CheckpointSummary> List(bool verify = false) => [.. Attempts().Select(attempt => Summarize(attempt, verify))];

    /// <inheritdoc/>
    public CheckpointReader Open(long step, bool verify = true)
    {
        var committed = Attempts().Where(attempt => attempt.HasManifest).ToList();
        var matching = committed.Where(attempt => attempt.Attempt.Step == step).ToList();
        if (matching.Count == 0)
        {
            var steps = committed.Select(attempt => FormattableString.Invariant($"{attempt.Attempt.Step}")).Distinct();
            throw new CheckpointException($"{_objects.Address}/{_keys.Root}… holds no checkpoint of step {step}; there {(committed.Count == 0 ? "is none at all" : "are those of the steps " + string.Join(", ", steps))}.");
        }

        List<string> problems = [];
        foreach (var attempt in matching)
        {
            if (TryOpen(attempt, verify, problems) is { } reader) return reader;
        }

        throw new CheckpointException($"The checkpoint of step {step} cannot be used: {problems[0]}");
    }

    /// <inheritdoc/>
    public CheckpointSelection OpenLatest(bool verify = true)
    {
        List<(long Step, string Problem)> skipped = [];
        CheckpointReader? reader = null;
        foreach (var attempt in Attempts().Where(attempt => attempt.HasManifest))
        {
            List<string> problems = [];
            if ((reader = TryOpen(attempt, verify, problems)) is not null) break;
            skipped.Add((attempt.Attempt.Step, problems[0]));
        }

        var remedy = reader is null ? "There is no older one to fall back to." : FormattableString.Invariant($"Falls back to step {reader.Step}.");
        return new CheckpointSelection(reader, [.. skipped.Select(item =>
            new SkippedCheckpoint(item.Step, FormattableString.Invariant($"The checkpoint of step {item.Step} cannot be used: {item.Problem} {remedy}")))]);
    }

    /// <inheritdoc/>
    public PruneReport Prune(int keepCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(keepCount, 1);
        var attempts = Attempts();
        var complete = attempts.Where(attempt => Summarize(attempt, verify: false).State == CheckpointState.Complete).ToList();
        if (complete.Count == 0) return new PruneReport([], 0);
        var kept = complete.DistinctBy(attempt => attempt.Attempt.Step).Take(KeptCount(complete, keepCount)).ToList();
        var (newest, oldest) = (kept[0].Attempt.Step, kept[^1].Attempt.Step);
        var removed = attempts.Where(attempt => attempt.HasManifest && attempt.Attempt.Step < oldest).ToList();
        var leftovers = attempts.Where(attempt => !kept.Contains(attempt) && !removed.Contains(attempt) && (attempt.HasManifest
            ? kept.Any(other => other.Attempt.Step == attempt.Attempt.Step)
            : attempt.Attempt.Step <= newest)).ToList();
        foreach (var attempt in removed.Concat(leftovers)) Remove(attempt);
        return new PruneReport([.. removed.Select(attempt => attempt.Attempt.Step).Distinct()], leftovers.Count);
    }

    /// <inheritdoc/>
    public void RemoveAfter(long step, Func<bool>? mayRemove = null)
    {
        // Keys hold the attempt: what is put there later has others.
        foreach (var attempt in Attempts().Where(attempt => attempt.HasManifest && attempt.Attempt.Step > step))
        {
            if (mayRemove?.Invoke() == false) return;
            Remove(attempt);
        }
    }

    private List<ObjectAttempt> Attempts() => [.. _keys.Attempts(_objects.List(_keys.Root))];

    /// <summary>As with a folder: at least as many as asked for, and as many more as it takes to have one whose every byte was verified.</summary>
    private int KeptCount(List<ObjectAttempt> complete, int keepCount)
    {
        var byStep = complete.DistinctBy(attempt => attempt.Attempt.Step).ToList();
        if (byStep.Count <= keepCount) return byStep.Count;
        var firstIntact = byStep.FindIndex(attempt => Summarize(attempt, verify: true).State == CheckpointState.Complete);
        return firstIntact < 0 ? byStep.Count : Math.Max(keepCount, firstIntact + 1);
    }

    private CheckpointReader? TryOpen(ObjectAttempt attempt, bool verify, List<string> problems)
    {
        try
        {
            return _mirror.Open(attempt, verify);
        }
        catch (CheckpointException fault)
        {
            problems.Add(fault.Message);
            return null;
        }
    }

    private CheckpointSummary Summarize(ObjectAttempt attempt, bool verify)
    {
        var location = $"{_objects.Address}/{_keys.Folder(attempt.Attempt)}";
        if (!attempt.HasManifest)
            return new(attempt.Attempt.Step, location, CheckpointState.Incomplete, $"{location} is a save that is under way or was torn.", 0);
        try
        {
            var manifest = _mirror.Manifest(attempt);
            if (verify) _mirror.Open(attempt, verify: true).Dispose();
            return new(attempt.Attempt.Step, location, CheckpointState.Complete, null, manifest.Files.Sum(file => file.ByteCount));
        }
        catch (CheckpointException fault)
        {
            return new(attempt.Attempt.Step, location, CheckpointState.Damaged, fault.Message, 0);
        }
    }

    /// <summary>The manifest first: a half-removed checkpoint must not look like a damaged one.</summary>
    private void Remove(ObjectAttempt attempt)
    {
        if (attempt.Objects.TryGetValue(CheckpointFileName.Manifest, out var manifest)) _objects.Delete([manifest.Key]);
        _objects.Delete([.. attempt.Objects.Values.Select(item => item.Key)]);
        _mirror.Forget(attempt.Attempt);
    }

    private StoredFile PutBytes(SaveAttempt attempt, string fileName, byte[] bytes)
    {
        using MemoryStream stream = new(bytes);
        _objects.Put(_keys.Of(attempt, fileName), stream);
        return new StoredFile(fileName, bytes.Length, ContentHash.Of(bytes), []);
    }
}
