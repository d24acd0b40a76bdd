using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pipeline.Runs;

/// <summary>The program that works in a run directory.</summary>
/// <param name="ProcessId">Its process id.</param>
/// <param name="ProcessStart">When that process started; tells it from a later one with the same id.</param>
/// <param name="Host">The machine.</param>
public sealed record RunOwner(int ProcessId, DateTimeOffset ProcessStart, string Host)
{
    // Start times are read from clock ticks and rounded differently on each reading.
    private static readonly TimeSpan s_startTolerance = TimeSpan.FromSeconds(2);

    internal static RunOwner Current()
    {
        using var process = Process.GetCurrentProcess();
        return new RunOwner(process.Id, StartOf(process), Environment.MachineName);
    }

    /// <summary>Whether that very process still runs. A process on another machine cannot be seen and counts as dead: the lock decides there.</summary>
    internal bool IsAlive()
    {
        if (!string.Equals(Host, Environment.MachineName, StringComparison.OrdinalIgnoreCase))
            return false;
        try
        {
            using var process = Process.GetProcessById(ProcessId);
            return (StartOf(process) - ProcessStart).Duration() <= s_startTolerance;
        }
        catch (Exception exception) when (exception is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // No such process, it ended while we looked, or it is not ours to see.
            return false;
        }
    }

    private static DateTimeOffset StartOf(Process process) => new(process.StartTime.ToUniversalTime());
}

/// <summary>
/// Keeps two programs out of one run directory. The system's file lock decides, and dies with the process that held it, so that a crash
/// leaves no obstacle; the owner's file beside it serves the message, and file systems without locks.
/// </summary>
internal sealed class RunLock : IDisposable
{
    private readonly FileStream _stream;
    private readonly string _ownerPath;

    private RunLock(FileStream stream, string ownerPath)
    {
        _stream = stream;
        _ownerPath = ownerPath;
    }

    /// <exception cref="RunException">Another program holds it, or the folder cannot be written.</exception>
    internal static RunLock Acquire(RunFiles files)
    {
        var stream = Open(files);
        try
        {
            if (ReadOwner(files.Owner) is { } owner && owner.ProcessId != Environment.ProcessId && owner.IsAlive())
                throw InUse(files, owner);
            AtomicFile.Write(files.Owner, destination => JsonSerializer.Serialize(destination, RunOwner.Current(), RunJson.Default.RunOwner));
            return new RunLock(stream, files.Owner);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>The lock's file stays: deleting it would let two programs lock two files of one name.</summary>
    public void Dispose()
    {
        try
        {
            File.Delete(_ownerPath);
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            // The owner's file is read only while its process lives, so a stale one misleads nobody.
        }

        _stream.Dispose();
    }

    private static FileStream Open(RunFiles files)
    {
        try
        {
            return new FileStream(files.Lock, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException exception) when (exception.GetType() == typeof(IOException) && File.Exists(files.Lock))
        {
            // A lock that is held shows as a plain IOException; a missing folder or path has its own type.
            throw InUse(files, ReadOwner(files.Owner));
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw RunException.WhileWriting(files.Lock, exception);
        }
    }

    private static RunException InUse(RunFiles files, RunOwner? owner)
    {
        var who = owner is null ? "another program" : $"process {owner.ProcessId} on {owner.Host}, started {owner.ProcessStart:yyyy-MM-dd HH:mm:ss} UTC";
        return new RunException($"The run directory {files.Folder} is in use by {who}. Wait for it or stop it, or name another folder with --run.");
    }

    private static RunOwner? ReadOwner(string path)
    {
        try
        {
            return File.Exists(path) ? JsonSerializer.Deserialize(File.ReadAllBytes(path), RunJson.Default.RunOwner) : null;
        }
        catch (Exception exception) when (exception is JsonException || RunException.IsFileFault(exception))
        {
            // It is being replaced, or was torn: nobody can be named.
            return null;
        }
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    WriteIndented = true,
    NewLine = "\n",
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(RunOwner))]
[JsonSerializable(typeof(EndpointFile))]
internal sealed partial class RunJson : JsonSerializerContext;
