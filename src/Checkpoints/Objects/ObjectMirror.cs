namespace Pipeline.Checkpoints.Objects;

/// <summary>
/// Local copies of committed attempts, so that they are read and verified like a folder's checkpoints. A file that is there in the right size
/// is not fetched again; whether its bytes are right, the verification says, and a damaged copy is fetched once more.
/// </summary>
/// <param name="objects">Where the originals lie.</param>
/// <param name="folder">Where the copies go; this store's alone.</param>
internal sealed class ObjectMirror(IObjectStore objects, string folder)
{
    /// <summary>Reads and checks the manifest of an attempt, by its size in the listing first.</summary>
    /// <exception cref="CheckpointException">It is damaged, hostile, or of another step.</exception>
    internal CheckpointManifest Manifest(ObjectAttempt attempt)
    {
        var original = attempt.Objects[CheckpointFileName.Manifest];
        var address = $"{objects.Address}/{original.Key}";
        if (original.ByteCount > ManifestText.MaxByteCount)
            throw CheckpointException.Damaged(address, $"it has {original.ByteCount} bytes, a manifest at most {ManifestText.MaxByteCount}");
        using MemoryStream bytes = new();
        objects.Get(original.Key, bytes);
        var manifest = ManifestText.Read(bytes.ToArray(), address);
        if (manifest.Step != attempt.Attempt.Step)
            throw CheckpointException.Damaged(address, $"it is the manifest of step {manifest.Step}, under step {attempt.Attempt.Step}");
        foreach (var file in manifest.Files) RequireSize(attempt, file);
        return manifest;
    }

    /// <summary>Fetches what is missing of an attempt and opens it.</summary>
    /// <param name="attempt">A committed attempt.</param>
    /// <param name="verify">Whether to read every byte and compare the hashes.</param>
    /// <exception cref="CheckpointException">Something does not agree with the manifest.</exception>
    internal CheckpointReader Open(ObjectAttempt attempt, bool verify)
    {
        var manifest = Manifest(attempt);
        CheckpointFolder local = new(Place(attempt.Attempt), attempt.Attempt.Step, FolderRole.Checkpoint);
        Fetch(attempt, manifest, local.Path, isAnew: false);
        try
        {
            CheckpointVerifier.Verify(local, manifest, verify);
        }
        catch (CheckpointException)
        {
            // The copy may be what is damaged.
            Fetch(attempt, manifest, local.Path, isAnew: true);
            CheckpointVerifier.Verify(local, manifest, verify);
        }

        return new CheckpointReader(local.Path, manifest);
    }

    /// <summary>Removes the copies of an attempt.</summary>
    internal void Forget(SaveAttempt attempt) => Guarded(Place(attempt), path =>
    {
        if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
    });

    private void Fetch(ObjectAttempt attempt, CheckpointManifest manifest, string place, bool isAnew) => Guarded(place, path =>
    {
        Directory.CreateDirectory(path);
        foreach (var file in manifest.Files)
        {
            var target = Path.Combine(path, file.Name);
            if (!isAnew && new FileInfo(target) is { Exists: true } known && known.Length == file.ByteCount) continue;
            using (var stream = File.Create(target + ".part")) objects.Get(attempt.Objects[file.Name].Key, stream);
            File.Move(target + ".part", target, overwrite: true);
        }
    });

    private void RequireSize(ObjectAttempt attempt, CheckpointFile file)
    {
        var address = $"{objects.Address}/{attempt.Objects[CheckpointFileName.Manifest].Key[..^CheckpointFileName.Manifest.Length]}{file.Name}";
        if (!attempt.Objects.TryGetValue(file.Name, out var original)) throw CheckpointException.Damaged(address, "the object is missing");
        if (original.ByteCount != file.ByteCount)
            throw CheckpointException.Damaged(address, $"it has {original.ByteCount} bytes, its manifest says {file.ByteCount}");
    }

    private string Place(SaveAttempt attempt) => Path.Combine(folder, FormattableString.Invariant($"step-{attempt.Step}-attempt-{attempt.Attempt}"));

    private static void Guarded(string path, Action<string> action)
    {
        try
        {
            action(path);
        }
        catch (Exception fault) when (CheckpointException.IsFileFault(fault))
        {
            throw CheckpointException.WhileWriting(path, fault);
        }
    }
}
