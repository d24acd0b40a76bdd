namespace Pipeline.Data;

/// <summary>
/// One entry of the cache: a folder named by a key. It is written aside and renamed, so it is whole or absent however many processes
/// prepare it at once; a lock file beside it lets one of them work while the others wait. Where a file system knows no locks, all
/// work and the first to rename wins.
/// </summary>
internal sealed class PreparationCache
{
    private static readonly TimeSpan LockPollInterval = TimeSpan.FromMilliseconds(50);

    private readonly string _cacheFolder;
    private readonly string _name;

    public PreparationCache(string cacheFolder, string key)
    {
        _cacheFolder = Path.GetFullPath(cacheFolder);
        _name = $"data-{key}";
    }

    public string Folder => Path.Combine(_cacheFolder, _name);

    /// <param name="prepare">Fills the folder it is given.</param>
    /// <param name="progress">Told in words what is going on.</param>
    /// <param name="cancellationToken">Ends waiting for the lock; <paramref name="prepare"/> sees to itself.</param>
    /// <exception cref="DataException">The cache cannot be written.</exception>
    public PreparedData OpenOrPrepare(Action<string> prepare, IProgress<string>? progress, CancellationToken cancellationToken)
    {
        try
        {
            if (TryOpen(progress) is { } ready)
                return ready;
            Directory.CreateDirectory(_cacheFolder);
            using FileStream preparationLock = TakeLock(progress, cancellationToken);
            return TryOpen(progress) ?? PrepareAside(prepare, progress);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"The prepared corpus could not be written to {Folder}: {e.Message} "
                + "Make room there, or name another place with --cache.", e);
        }
    }

    private PreparedData? TryOpen(IProgress<string>? progress)
    {
        if (!Directory.Exists(Folder))
            return null;
        try
        {
            return PreparedData.Open(Folder);
        }
        catch (DataException e)
        {
            progress?.Report($"the prepared corpus is not usable and is made anew: {e.Message}");
            return null;
        }
    }

    private FileStream TakeLock(IProgress<string>? progress, CancellationToken cancellationToken)
    {
        string path = Path.Combine(_cacheFolder, $"{_name}.lock");
        bool hasReported = false;
        while (true)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (File.Exists(path))
            {
                if (!hasReported)
                    progress?.Report("waiting for another process that prepares the same corpus");
                hasReported = true;
            }
            if (cancellationToken.WaitHandle.WaitOne(LockPollInterval))
                cancellationToken.ThrowIfCancellationRequested();
        }
    }

    private PreparedData PrepareAside(Action<string> prepare, IProgress<string>? progress)
    {
        // Whoever left these behind was killed: nobody else writes for this key while we hold the lock.
        foreach (string leftover in Directory.GetDirectories(_cacheFolder, $".{_name}.*"))
            Directory.Delete(leftover, recursive: true);
        string aside = Path.Combine(_cacheFolder, $".{_name}.{Guid.NewGuid():N}");
        try
        {
            Directory.CreateDirectory(aside);
            prepare(aside);
            Publish(aside, progress);
            return PreparedData.Open(Folder);
        }
        finally
        {
            if (Directory.Exists(aside))
                Directory.Delete(aside, recursive: true);
        }
    }

    private void Publish(string aside, IProgress<string>? progress)
    {
        if (Directory.Exists(Folder))
        {
            using PreparedData? fromOther = TryOpen(progress);
            if (fromOther is not null)
                return;
            string damaged = Path.Combine(_cacheFolder, $".{_name}.{Guid.NewGuid():N}");
            Directory.Move(Folder, damaged);
            Directory.Delete(damaged, recursive: true);
        }
        try
        {
            Directory.Move(aside, Folder);
        }
        catch (IOException) when (Directory.Exists(Folder))
        {
            progress?.Report("another process was faster, its prepared corpus is taken");
        }
    }
}
