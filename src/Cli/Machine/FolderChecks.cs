namespace Pipeline.Cli.Machine;

/// <summary>Folders that a run writes to, the space in them, and the clock that dates their files.</summary>
internal static class FolderChecks
{
    private const double GigaByte = 1e9;

    public static IEnumerable<Finding> All(string cacheFolder, string runFolder, TimeProvider time)
    {
        yield return Writable("cache folder", cacheFolder, "Name another with --set data.cache=DIR, or mend its rights.");
        yield return Writable("run folder", runFolder, "Name another with --run DIR, or mend its rights.");
        yield return Clock(time);
    }

    /// <summary>Tries a folder, or the nearest one above it that exists, by writing a file; nothing stays behind.</summary>
    internal static Finding Writable(string subject, string folder, string remedy)
    {
        var existing = NearestExisting(folder);
        try
        {
            WriteAndDelete(existing);
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            return Finding.Lacking(subject, $"{folder} cannot be written: {refused.Message}", remedy);
        }

        var free = new DriveInfo(existing).AvailableFreeSpace / GigaByte;
        return free >= 1
            ? Finding.Fine(subject, $"{folder}, {free:0.0} GB free")
            : Finding.Notice(subject, $"{folder}, {free:0.00} GB free", "A run of the default model writes up to 0.3 GB: free some space, or name another folder.");
    }

    private static string NearestExisting(string folder)
    {
        var existing = folder;
        while (!Directory.Exists(existing)) existing = Path.GetDirectoryName(existing) ?? Path.GetPathRoot(folder)!;
        return existing;
    }

    private static DateTime WriteAndDelete(string folder)
    {
        var probe = Path.Combine(folder, $".pipeline-doctor-{Environment.ProcessId}");
        using (FileStream stream = new(probe, FileMode.Create, FileAccess.Write, FileShare.None, 4096, FileOptions.DeleteOnClose))
        {
            stream.WriteByte(1);
            stream.Flush(flushToDisk: true);
            return File.GetLastWriteTimeUtc(probe);
        }
    }

    /// <summary>A clock before this program's time breaks certificates and sorts runs wrongly.</summary>
    internal static Finding Clock(TimeProvider time)
    {
        var now = time.GetUtcNow();
        return now.Year >= 2025
            ? Finding.Fine("clock", $"{now:yyyy-MM-dd HH:mm:ss} UTC")
            : Finding.Notice("clock", $"{now:yyyy-MM-dd HH:mm:ss} UTC lies in the past", "Set the clock: run directories are named and sorted by it.");
    }
}
