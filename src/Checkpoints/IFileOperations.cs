namespace Pipeline.Checkpoints;

/// <summary>
/// The few operations by which a store changes the disk; each is a point where power may fail or the disk may be full.
/// A seam, so that tests can fail at every one of them. Reading needs no seam.
/// </summary>
internal interface IFileOperations
{
    void CreateFolder(string path);

    /// <summary>Creates or empties a file and reserves its size, so that a full disk shows before the work is done.</summary>
    Stream CreateFile(string path, long byteCount);

    /// <summary>Puts a file's bytes on the device (fsync).</summary>
    void FlushFile(Stream file);

    /// <summary>Renames a file (replacing what is there) or a folder (which must not be there).</summary>
    void Rename(string from, string to);

    /// <summary>Puts a folder's entries on the device, so that a rename survives a loss of power.</summary>
    void FlushFolder(string path);

    void DeleteFile(string path);

    void DeleteFolder(string path);
}
