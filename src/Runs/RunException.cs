namespace Pipeline.Runs;

/// <summary>
/// Something about a run directory that a user can mend: it is in use, holds a run already, cannot be written, or a file in it is damaged.
/// The message says what was expected, what was found and what to do.
/// </summary>
public sealed class RunException : Exception
{
    /// <param name="message">Expected, found, remedy.</param>
    public RunException(string message)
        : base(message)
    {
    }

    /// <param name="message">Expected, found, remedy.</param>
    /// <param name="innerException">What the system reported.</param>
    public RunException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    internal static bool IsFileFault(Exception exception) => exception is IOException or UnauthorizedAccessException;

    internal static RunException WhileWriting(string path, Exception cause) =>
        new($"Cannot write {path}: {cause.Message.TrimEnd('.')}. Check free space and the folder's permissions, or name another folder with --run.", cause);

    internal static RunException WhileReading(string path, Exception cause) =>
        new($"Cannot read {path}: {cause.Message.TrimEnd('.')}.", cause);
}
