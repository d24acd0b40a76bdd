namespace Pipeline.Nodes;

/// <summary>Temporary folders for sockets and endpoints: a socket's path may have about a hundred characters only, and only its user may enter.</summary>
public static class ShortFolder
{
    /// <summary>Makes one, open to its owner only; whoever makes it removes it.</summary>
    public static string Create()
    {
        var parent = Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } runtime && Directory.Exists(runtime) ? runtime : Path.GetTempPath();
        var folder = Path.Combine(parent, "pl-" + Path.GetRandomFileName().Replace(".", "", StringComparison.Ordinal)[..8]);
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(folder);
        else Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return folder;
    }
}
