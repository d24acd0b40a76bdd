namespace Pipeline.Runs;

/// <summary>
/// A run directory that this program works in. It holds the directory's lock until it is disposed, and removes the endpoint file then.
/// </summary>
public sealed class RunDirectory : IDisposable
{
    private readonly RunLock _lock;
    private bool _isReleased;

    private RunDirectory(RunFiles files, RunLock runLock)
    {
        Files = files;
        _lock = runLock;
    }

    /// <summary>The names of its files.</summary>
    public RunFiles Files { get; }

    /// <summary>The folder, as a full path.</summary>
    public string Folder => Files.Folder;

    /// <summary>Takes a folder, new or existing, for a new run.</summary>
    /// <exception cref="RunException">It holds a run already, is in use, or cannot be written.</exception>
    public static RunDirectory Create(string folder)
    {
        var files = new RunFiles(Path.GetFullPath(folder));
        RequireNoRun(files);
        CreateFolder(files);
        var runLock = RunLock.Acquire(files);
        try
        {
            // Another program may have come and gone between the question and the lock.
            RequireNoRun(files);
        }
        catch
        {
            runLock.Dispose();
            throw;
        }

        return new RunDirectory(files, runLock);
    }

    /// <summary>Takes the first free folder of the name <c>yyyy-MM-dd-preset-nnn</c>. Several programs may do so at the same time.</summary>
    /// <param name="runsFolder">Holds the runs; created if need be.</param>
    /// <param name="preset">What is trained; characters that do not suit a file name become dashes.</param>
    /// <param name="time">Gives today's date, in local time.</param>
    /// <exception cref="RunException">The folder cannot be written.</exception>
    public static RunDirectory CreateNumbered(string runsFolder, string preset, TimeProvider time)
    {
        var name = string.Concat(preset.Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' ? c : '-'));
        var date = time.GetLocalNow();
        for (var number = 1; ; number++)
        {
            var folder = Path.GetFullPath(Path.Combine(runsFolder, FormattableString.Invariant($"{date:yyyy-MM-dd}-{name}-{number:D3}")));
            if (Path.Exists(folder))
                continue;
            var files = new RunFiles(folder);
            CreateFolder(files);
            if (TryTake(files) is { } taken)
                return taken;
        }
    }

    /// <summary>Takes the folder of a run that is to go on.</summary>
    /// <exception cref="RunException">No run is there, it is in use, or it cannot be written.</exception>
    public static RunDirectory OpenForResume(string folder)
    {
        var files = new RunFiles(Path.GetFullPath(folder));
        if (!Directory.Exists(files.Folder))
            throw new RunException($"There is no folder {files.Folder} to resume from. Name the directory of a run, such as runs/2026-01-31-gpt-micro-001.");
        if (!files.HoldRun())
            throw new RunException($"The folder {files.Folder} holds no run: there is no {Path.GetFileName(files.Configuration)} and no checkpoint in it. Name the directory of a run.");
        return new RunDirectory(files, RunLock.Acquire(files));
    }

    /// <summary>Gives the directory up, for another program to take; a second time does nothing.</summary>
    public void Dispose()
    {
        if (_isReleased) return;
        _isReleased = true;
        EndpointFile.Remove(Files.Endpoint);
        EndpointFile.Remove(Files.EndpointToken);
        _lock.Dispose();
    }

    /// <summary>Null where another program was faster.</summary>
    private static RunDirectory? TryTake(RunFiles files)
    {
        RunLock runLock;
        try
        {
            runLock = RunLock.Acquire(files);
        }
        catch (RunException exception) when (exception.InnerException is null)
        {
            return null; // in use; a fault of the disk has an inner exception
        }

        if (!files.HoldRun())
            return new RunDirectory(files, runLock);
        runLock.Dispose();
        return null;
    }

    private static void CreateFolder(RunFiles files)
    {
        try
        {
            Directory.CreateDirectory(files.Folder);
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw new RunException($"Cannot create the run directory {files.Folder}: {exception.Message.TrimEnd('.')}. Give this user write permission there, or name another folder with --run.", exception);
        }
    }

    private static void RequireNoRun(RunFiles files)
    {
        if (files.HoldRun())
            throw new RunException($"The folder {files.Folder} already holds a run. Resume it with --resume, or name another folder with --run.");
    }
}
