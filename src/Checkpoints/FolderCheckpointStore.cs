using System.Text;

namespace Pipeline.Checkpoints;

/// <summary>
/// Checkpoints in a folder: <c>step-40/</c> holds one, with its tensors' files, <c>model.safetensors.index.json</c> and <c>manifest.json</c>.
/// A save is made in <c>step-40.saving-ATTEMPT/</c> and becomes <c>step-40/</c> by one rename, after every file and the manifest,
/// which is written last, are on the device. What a crash leaves behind is recognised by its name and removed by <see cref="Prune"/>.
/// </summary>
public sealed class FolderCheckpointStore : ICheckpointStore
{
    private const string TemporarySuffix = ".part";

    private readonly string _root;
    private readonly IFileOperations _files;

    /// <param name="folder">Created at the first save.</param>
    public FolderCheckpointStore(string folder)
        : this(folder, new DiskFileOperations())
    {
    }

    internal FolderCheckpointStore(string folder, IFileOperations files)
    {
        _root = Path.GetFullPath(folder);
        _files = files;
    }

    /// <inheritdoc/>
    public StoredFile WriteTensors(SaveAttempt attempt, string fileName, IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        // "pt" says that layouts are PyTorch's, which Hugging Face's libraries ask for; the step tells files of two checkpoints apart.
        var allMetadata = new Dictionary<string, string>(metadata ?? new Dictionary<string, string>(StringComparer.Ordinal), StringComparer.Ordinal)
        {
            ["format"] = "pt",
            [CheckpointVerifier.StepKey] = FormattableString.Invariant($"{attempt.Step}"),
        };
        if (!CheckpointFileName.HoldsTensors(fileName))
            throw new ArgumentException($"'{fileName}' does not end in .safetensors.", nameof(fileName));
        var writer = new SafetensorsWriter(tensors, allMetadata);
        return Write(attempt, fileName, writer.ByteCount, stream => writer.WriteTo(fileName, stream));
    }

    /// <inheritdoc/>
    public StoredFile WriteText(SaveAttempt attempt, string fileName, string text)
    {
        if (CheckpointFileName.HoldsTensors(fileName) || fileName is CheckpointFileName.Manifest or CheckpointFileName.WeightIndex)
            throw new ArgumentException($"'{fileName}' is not the name of a text file that a caller may write.", nameof(fileName));
        return WriteBytes(attempt, fileName, Encoding.UTF8.GetBytes(text));
    }

    /// <inheritdoc/>
    public CheckpointManifest Commit(SaveAttempt attempt, CheckpointDescription description, IReadOnlyList<StoredFile> files)
    {
        var saving = CheckpointFolder.Of(_root, attempt);
        foreach (var file in files)
            RequireWritten(Path.Combine(saving.Path, file.Name), file.ByteCount);
        if (ManifestValidator.FindFault(CheckpointManifest.Of(attempt.Step, description, files)) is { } fault)
            throw new ArgumentException($"These files make no checkpoint: {fault}.", nameof(files));
        IReadOnlyList<StoredFile> allFiles = files.Any(file => CheckpointFileName.HoldsWeights(file.Name))
            ? [.. files, WriteBytes(attempt, CheckpointFileName.WeightIndex, WeightIndex.Text(files))]
            : files;
        var manifest = CheckpointManifest.Of(attempt.Step, description, allFiles);
        WriteBytes(attempt, CheckpointFileName.Manifest, ManifestText.Write(manifest));
        Publish(saving);
        return manifest;
    }

    /// <inheritdoc/>
    public void Abandon(SaveAttempt attempt)
    {
        var folder = CheckpointFolder.Of(_root, attempt);
        Guarded(folder.Path, () =>
        {
            if (Directory.Exists(folder.Path))
                _files.DeleteFolder(folder.Path);
        });
    }

    /// <inheritdoc/>
    public IReadOnlyList<CheckpointSummary> List(bool verify = false) => CheckpointCatalog.List(_root, verify);

    /// <inheritdoc/>
    public CheckpointReader Open(long step, bool verify = true) => CheckpointCatalog.Open(_root, step, verify);

    /// <inheritdoc/>
    public CheckpointSelection OpenLatest(bool verify = true) => CheckpointCatalog.OpenLatest(_root, verify);

    /// <summary>Has a checkpoint outlive every <see cref="Prune"/>. Those that it keeps by number are counted without regard to it.</summary>
    /// <exception cref="CheckpointException">There is none of that step that can be used, or the mark cannot be written.</exception>
    public void Keep(long step)
    {
        using (CheckpointCatalog.Open(_root, step, verify: false))
        {
            var folder = CheckpointFolder.Of(_root, step, FolderRole.Checkpoint);
            Guarded(folder.KeepPath, () => File.WriteAllBytes(folder.KeepPath, []));
        }
    }

    /// <inheritdoc/>
    public PruneReport Prune(int keepCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(keepCount, 1);
        var plan = PrunePlan.For(_root, keepCount);
        Guarded(_root, () =>
        {
            foreach (var folder in plan.Checkpoints)
                Remove(folder);
            foreach (var folder in plan.Leftovers)
                _files.DeleteFolder(folder.Path);
        });
        return new PruneReport([.. plan.Checkpoints.Select(folder => folder.Step)], plan.Leftovers.Count);
    }

    /// <inheritdoc/>
    public void RemoveAfter(long step, Func<bool>? mayRemove = null) => Guarded(_root, () =>
    {
        // One that stepped aside for another of its step would be read in its place.
        var found = CheckpointFolder.Scan(_root).Where(folder => folder.Step > step && folder.IsCandidate).Select(folder => (Folder: folder, Seen: IdentityOf(folder))).ToArray();
        foreach (var (folder, seen) in found)
        {
            if (mayRemove?.Invoke() == false) return;
            if (!Remove(folder, seen)) continue;
            // The next one of this step is another one: nobody has asked for that to be kept.
            if (File.Exists(folder.KeepPath)) File.Delete(folder.KeepPath);
        }
    });

    /// <summary>The manifest and when it was written: another checkpoint of the step has another, or has it from another time.</summary>
    private static (DateTime Written, string Hash) IdentityOf(CheckpointFolder folder) =>
        File.Exists(folder.ManifestPath) ? (File.GetLastWriteTimeUtc(folder.ManifestPath), ContentHash.Of(File.ReadAllBytes(folder.ManifestPath))) : default;

    /// <summary>
    /// Renamed before it is deleted: a half-deleted checkpoint must not look like a damaged one. A rename takes whatever is there: what turns out to be another one than
    /// was seen goes back to its place.
    /// </summary>
    /// <returns>Whether it was removed.</returns>
    private bool Remove(CheckpointFolder folder, (DateTime Written, string Hash)? seen = null)
    {
        var removing = CheckpointFolder.Of(_root, folder.Step, FolderRole.Removing);
        if (seen is not null && IdentityOf(folder) != seen)
            return false;
        if (Directory.Exists(removing.Path))
            _files.DeleteFolder(removing.Path);
        _files.Rename(folder.Path, removing.Path);
        if (seen is not null && IdentityOf(removing) != seen)
        {
            _files.Rename(removing.Path, folder.Path);
            return false;
        }

        _files.DeleteFolder(removing.Path);
        return true;
    }

    /// <summary>
    /// The moment in which the checkpoint begins to exist. A former checkpoint of the same step steps aside under a name that is still
    /// read as a checkpoint, so that no moment is without one; it is removed by the next pruning.
    /// </summary>
    private void Publish(CheckpointFolder saving) => Guarded(saving.Path, () =>
    {
        var target = CheckpointFolder.Of(_root, saving.Step, FolderRole.Checkpoint);
        var replaced = CheckpointFolder.Of(_root, saving.Step, FolderRole.Replaced);
        if (Directory.Exists(target.Path))
        {
            if (Directory.Exists(replaced.Path))
                _files.DeleteFolder(CheckpointCatalog.IsComplete(target) ? replaced.Path : target.Path);
            if (Directory.Exists(target.Path))
                _files.Rename(target.Path, replaced.Path);
        }

        _files.Rename(saving.Path, target.Path);
        _files.FlushFolder(_root);
    });

    private StoredFile WriteBytes(SaveAttempt attempt, string fileName, byte[] bytes) => Write(attempt, fileName, bytes.Length, stream =>
    {
        stream.Write(bytes);
        return new StoredFile(fileName, bytes.Length, ContentHash.Of(bytes), []);
    });

    /// <summary>Temporary name, bytes, device, final name, device: whatever is under the final name is whole.</summary>
    private StoredFile Write(SaveAttempt attempt, string fileName, long byteCount, Func<Stream, StoredFile> write)
    {
        if (!CheckpointFileName.IsPlain(fileName))
            throw new ArgumentException($"'{fileName}' is not a plain file name.", nameof(fileName));
        var folder = CheckpointFolder.Of(_root, attempt).Path;
        var path = Path.Combine(folder, fileName);
        StoredFile? stored = null;
        Guarded(path, () =>
        {
            CreateRoot();
            _files.CreateFolder(folder);
            using (var stream = _files.CreateFile(path + TemporarySuffix, byteCount))
            {
                stored = write(stream);
                _files.FlushFile(stream);
            }

            _files.Rename(path + TemporarySuffix, path);
            _files.FlushFolder(folder);
        });
        return stored!;
    }

    /// <summary>The folder's own entry must outlive a loss of power too, or the first checkpoint would vanish with it.</summary>
    private void CreateRoot()
    {
        if (Directory.Exists(_root))
            return;
        _files.CreateFolder(_root);
        _files.FlushFolder(Path.GetDirectoryName(_root)!);
    }

    private static void RequireWritten(string path, long byteCount)
    {
        var info = new FileInfo(path);
        if (!info.Exists || info.Length != byteCount)
            throw new CheckpointException($"Cannot commit the checkpoint: {path} should have {byteCount} bytes, {(info.Exists ? $"it has {info.Length}" : "it is not there")}. All stages must save into the same folder.");
    }

    private static void Guarded(string path, Action action)
    {
        try
        {
            action();
        }
        catch (Exception exception) when (CheckpointException.IsFileFault(exception))
        {
            throw CheckpointException.WhileWriting(path, exception);
        }
    }
}
