namespace Pipeline.Checkpoints;

/// <summary>
/// Something about a checkpoint that a user can mend: a damaged or missing file, a full disk, a folder without permission.
/// The message says what was expected, what was found and what to do.
/// </summary>
public sealed class CheckpointException : Exception
{
    // The system's codes for "no space left" (ENOSPC, EDQUOT; ERROR_DISK_FULL, ERROR_HANDLE_DISK_FULL) and for a read-only mount (EROFS).
    private static readonly int[] FullDiskCodes = [28, 122, unchecked((int)0x80070070), unchecked((int)0x80070027)];
    private const int ReadOnlyMountCode = 30;

    /// <param name="message">Expected, found, remedy.</param>
    public CheckpointException(string message)
        : base(message)
    {
    }

    /// <param name="message">Expected, found, remedy.</param>
    /// <param name="innerException">What the system reported.</param>
    public CheckpointException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    internal static bool IsFileFault(Exception exception) => exception is IOException or UnauthorizedAccessException;

    internal static CheckpointException WhileWriting(string path, Exception cause) =>
        new($"Cannot write the checkpoint file {path}: {cause.Message.TrimEnd('.')}. {Remedy(cause)} The checkpoints saved before are untouched.", cause);

    internal static CheckpointException WhileReading(string path, Exception cause) =>
        new($"Cannot read the checkpoint file {path}: {cause.Message.TrimEnd('.')}.", cause);

    internal static CheckpointException Damaged(string path, string problem) =>
        new($"{path} is damaged or not a checkpoint file: {problem}.");

    private static string Remedy(Exception cause)
    {
        if (Array.IndexOf(FullDiskCodes, cause.HResult) >= 0)
            return "The disk is full: free some space, keep fewer checkpoints, or save to another folder.";
        if (cause is UnauthorizedAccessException || cause.HResult == ReadOnlyMountCode)
            return "The folder cannot be written: give this user write permission, or save to another folder.";
        return "Check the disk and the folder, or save to another folder.";
    }
}
