using Pipeline.Runs;

namespace Pipeline.Nodes;

/// <summary>A token in a file that only its user can read.</summary>
public static class TokenFile
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>The token of a file, which is made if it is missing. Several processes may do so at once, and agree.</summary>
    /// <exception cref="RunException">The file can neither be read nor written.</exception>
    public static string ReadOrCreate(string path)
    {
        try
        {
            if (!File.Exists(path)) Create(path);
            return File.ReadAllText(path).Trim() is { Length: > 0 } token
                ? token
                : throw new RunException($"The token file {path} is empty. Remove it, or name another one with cluster.token-file.");
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new RunException($"The token file {path} cannot be used: {fault.Message.TrimEnd('.')}. Run as the user who started the first node, or name another file with cluster.token-file.", fault);
        }
    }

    private static void Create(string path)
    {
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder) Directory.CreateDirectory(folder);
        var temporary = FormattableString.Invariant($"{path}.{Environment.ProcessId}");
        FileStreamOptions options = new() { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = OwnerOnly;
        using (StreamWriter writer = new(temporary, options)) writer.Write(ControlServer.NewToken());
        try
        {
            // The first one to move its file there wins; the token is whole from the first moment on.
            File.Move(temporary, path, overwrite: false);
        }
        catch (IOException) when (File.Exists(path))
        {
            File.Delete(temporary);
        }
    }
}
