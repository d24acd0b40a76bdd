using System.Text.Json;

namespace Pipeline.Runs;

/// <summary>
/// <c>endpoint.json</c>: where a running program can be reached. It is there only while the program runs, and only its user can read it.
/// </summary>
/// <param name="Address">Host and port, or the path of a Unix socket.</param>
/// <param name="TokenPath">File that holds the token which commands must show.</param>
/// <param name="ProcessId">The program.</param>
/// <param name="StartedAt">When it opened the endpoint.</param>
/// <param name="Dashboard">Address of the run's web page; null for none.</param>
public sealed record EndpointFile(string Address, string TokenPath, int ProcessId, DateTimeOffset StartedAt, string? Dashboard = null)
{
    /// <summary>Writes the file, readable and writable by its owner only.</summary>
    /// <exception cref="RunException">It cannot be written.</exception>
    public void Write(string path) => AtomicFile.Write(
        path,
        stream => JsonSerializer.Serialize(stream, this, RunJson.Default.EndpointFile),
        UnixFileMode.UserRead | UnixFileMode.UserWrite);

    /// <summary>Reads the file; null where there is none.</summary>
    /// <exception cref="RunException">It cannot be read or is damaged.</exception>
    public static EndpointFile? Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(path), RunJson.Default.EndpointFile);
        }
        catch (Exception gone) when (gone is FileNotFoundException or DirectoryNotFoundException)
        {
            // Not asked beforehand: a program that ends removes it between the question and the reading.
            return null;
        }
        catch (JsonException exception)
        {
            throw new RunException($"{path} is damaged: {exception.Message.TrimEnd('.')}. If the run is over, remove the file.", exception);
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw RunException.WhileReading(path, exception);
        }
    }

    /// <summary>Reads the token; null where its file is gone, since the program ends.</summary>
    /// <exception cref="RunException">It cannot be read.</exception>
    public string? ReadToken()
    {
        try
        {
            return File.ReadAllText(TokenPath).Trim();
        }
        catch (Exception gone) when (gone is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw RunException.WhileReading(TokenPath, exception);
        }
    }

    /// <summary>Removes the file, if it is there.</summary>
    /// <exception cref="RunException">It cannot be removed.</exception>
    public static void Remove(string path)
    {
        try
        {
            if (File.Exists(path))
                File.Delete(path);
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw new RunException($"Cannot remove {path}: {exception.Message.TrimEnd('.')}. Remove it by hand.", exception);
        }
    }
}
