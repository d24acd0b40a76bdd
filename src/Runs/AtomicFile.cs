using System.Text;

namespace Pipeline.Runs;

/// <summary>
/// Replaces a file whole: a reader sees the former content or the new one, never a part. The bytes are on the device before the rename.
/// </summary>
public static class AtomicFile
{
    private const string TemporarySuffix = ".part";

    /// <param name="path">The file.</param>
    /// <param name="write">Writes its content.</param>
    /// <param name="mode">Permissions on Unix from the first moment on; null for the usual ones.</param>
    /// <exception cref="RunException">The file cannot be written; the former one is untouched.</exception>
    public static void Write(string path, Action<Stream> write, UnixFileMode? mode = null)
    {
        var temporary = FormattableString.Invariant($"{path}.{Environment.ProcessId}{TemporarySuffix}");
        try
        {
            // A leftover of a crash could carry other permissions.
            File.Delete(temporary);
            using (var stream = new FileStream(temporary, Options(mode)))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw RunException.WhileWriting(path, exception);
        }
    }

    /// <summary>Writes text as UTF-8.</summary>
    /// <exception cref="RunException">As above.</exception>
    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    private static FileStreamOptions Options(UnixFileMode? mode)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None };
        if (mode is { } permissions && !OperatingSystem.IsWindows())
            options.UnixCreateMode = permissions;
        return options;
    }
}
