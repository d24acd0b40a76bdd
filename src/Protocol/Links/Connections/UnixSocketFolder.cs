namespace Pipeline.Protocol.Links;

/// <summary>
/// A folder of this process's own for its Unix socket, which nobody but this user can enter: that is what authenticates who connects. Lies
/// under <c>$XDG_RUNTIME_DIR</c>, else in the temporary folder; the names are short, since a socket's path has some hundred bytes.
/// </summary>
internal sealed class UnixSocketFolder : IDisposable
{
    private const string Prefix = "pipeline-";
    private const string LockName = "lock";
    private static readonly string[] Names = ["l", "new", LockName];

    private readonly string _folder;
    private readonly FileStream _lock;

    private UnixSocketFolder(string folder)
    {
        _folder = folder;
        _lock = Hold(folder);
    }

    /// <summary>Path of the socket, once it listens.</summary>
    internal string SocketPath => Path.Combine(_folder, "l");

    /// <summary>Where the socket is bound before it listens, so that nobody finds one that refuses.</summary>
    internal string BindingPath => Path.Combine(_folder, "new");

    /// <summary>Makes the folder, and clears away those of processes that were killed.</summary>
    internal static UnixSocketFolder Create()
    {
        var root = Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } runtime && Directory.Exists(runtime) ? runtime : Path.GetTempPath();
        foreach (var left in Directory.EnumerateDirectories(root, Prefix + "????????????")) ClearAway(left);
        // Random and created with mode 0700, never one that lies there already.
        var folder = Path.Combine(root, Prefix + Convert.ToHexStringLower(BitConverter.GetBytes(Handshake.Draw())[..6]));
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(folder);
        else Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return new UnixSocketFolder(folder);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _lock.Dispose();
        Delete(_folder);
    }

    private static FileStream Hold(string folder) => new(Path.Combine(folder, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);

    // Whoever lives holds the lock, and the kernel lets go of it when a process dies.
    private static void ClearAway(string folder)
    {
        try
        {
            if (!File.Exists(Path.Combine(folder, LockName))) return;
            using (Hold(folder)) Delete(folder);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // Its process lives, or it belongs to somebody else.
        }
    }

    private static void Delete(string folder)
    {
        try
        {
            foreach (var name in Names) File.Delete(Path.Combine(folder, name));
            Directory.Delete(folder);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // Another process clears away at the same time.
        }
    }
}
