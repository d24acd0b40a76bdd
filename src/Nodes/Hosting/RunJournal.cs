using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Pipeline.Coordinator;
using Pipeline.Runs;

namespace Pipeline.Nodes;

/// <summary>
/// The journal of a run as a file in its directory: its first line names the one leader that may write, each further line is a decision,
/// the last whole one holds. A leader takes it by putting a copy with its own name in its place, so that whoever wrote before, and perhaps
/// only slept, finds another name there, or writes into a file that nobody sees any longer. A second line may say what is known of former starts.
/// </summary>
public sealed class RunJournal : IRunJournal
{
    /// <summary>A holder of the lock that is frozen must not hold up its successor, whose generation fences it anyway.</summary>
    private static readonly TimeSpan LockPatience = TimeSpan.FromSeconds(3);

    private readonly string _path;
    private readonly string _owner;

    private RunJournal(string path, string owner) => (_path, _owner) = (path, owner);

    /// <summary>
    /// Begins it anew for a run that is started again, so that no leader takes the former start over. Of that only this is not forgotten: at which steps ranks hung. What does
    /// not end at a step does not end because the run was resumed.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <exception cref="RunException">The file cannot be written.</exception>
    public static void Restart(string path)
    {
        if (Hangs(path) is { Count: > 0 } hangs) AtomicFile.Write(path, stream => Begin(stream, "", hangs));
        else File.Delete(path);
    }

    /// <summary>At which steps ranks hung, also in a former start of the run.</summary>
    public static IReadOnlyList<KnownHang> Hangs(string path) => !File.Exists(path) ? [] : Last(path)?.Hangs
        ?? File.ReadLines(path).Skip(1).Select(line => Parse(line, JournalJson.Default.FormerHangs)).OfType<FormerHangs>().FirstOrDefault()?.Before ?? [];

    /// <summary>Takes the journal over, or begins it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="owner">Names this leader and no other.</param>
    /// <returns>The journal, and the decision that holds; null for a run that begins.</returns>
    /// <exception cref="RunException">The file cannot be written.</exception>
    public static (RunJournal Journal, JournalEntry? Last) Claim(string path, string owner)
    {
        using var _ = Locked(path);
        var (last, hangs) = (Last(path), Hangs(path));
        AtomicFile.Write(path, stream =>
        {
            Begin(stream, owner, hangs);
            if (last is not null) Append(stream, last, JournalJson.Default.JournalEntry);
        });
        return (new RunJournal(path, owner), last);
    }

    /// <inheritdoc/>
    public bool IsSuperseded
    {
        get
        {
            try
            {
                return OwnerIn(File.ReadLines(_path).FirstOrDefault()) != _owner;
            }
            catch (IOException)
            {
                return true;
            }
        }
    }

    /// <summary>The decision that holds; null where there is none.</summary>
    public static JournalEntry? Last(string path)
    {
        if (!File.Exists(path)) return null;
        JournalEntry? last = null;
        foreach (var line in File.ReadLines(path).Skip(1)) last = Parse(line, JournalJson.Default.JournalEntry) ?? last;
        return last;
    }

    /// <inheritdoc/>
    public void Record(JournalEntry entry)
    {
        using var _ = Locked(_path);
        try
        {
            using FileStream stream = new(_path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            using StreamReader reader = new(stream, leaveOpen: true);
            if (OwnerIn(reader.ReadLine()) is var owner && owner != _owner)
                throw new JournalException($"The run in {Path.GetDirectoryName(_path)} is led by {(owner is { Length: > 0 } ? owner : "nobody")} now; this leader was replaced and ends.");
            stream.Seek(0, SeekOrigin.End);
            // A line that a crash has torn off must not swallow the next one.
            if (!EndsWithNewLine(stream)) stream.Write("\n"u8);
            Append(stream, entry, JournalJson.Default.JournalEntry);
            stream.Flush(flushToDisk: true);
        }
        catch (FileNotFoundException)
        {
            throw new JournalException($"The journal {_path} is gone; whoever removed it has begun the run anew, and this leader ends.");
        }
    }

    private static void Begin(Stream stream, string owner, IReadOnlyList<KnownHang> hangs)
    {
        Append(stream, new JournalOwner(owner), JournalJson.Default.JournalOwner);
        if (hangs.Count > 0) Append(stream, new FormerHangs(hangs), JournalJson.Default.FormerHangs);
    }

    private static string? OwnerIn(string? line) => Parse(line ?? "", JournalJson.Default.JournalOwner)?.Owner;

    private static bool EndsWithNewLine(FileStream stream)
    {
        if (stream.Length == 0) return true;
        stream.Seek(-1, SeekOrigin.End);
        return stream.ReadByte() == '\n';
    }

    private static FileStream? Locked(string path)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                return new FileStream(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (TimeProvider.System.GetElapsedTime(start) < LockPatience)
            {
                Task.Delay(10).Wait();
            }
            catch (IOException)
            {
                return null;
            }
        }
    }

    private static void Append<T>(Stream stream, T value, JsonTypeInfo<T> type) => stream.Write([.. JsonSerializer.SerializeToUtf8Bytes(value, type), (byte)'\n']);

    private static T? Parse<T>(string line, JsonTypeInfo<T> type) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(line, type);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>The first line of a journal.</summary>
internal sealed record JournalOwner(string Owner);

/// <summary>At which steps ranks hung before this start of the run, or under a former leader.</summary>
internal sealed record FormerHangs(IReadOnlyList<KnownHang> Before);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(JournalOwner))]
[JsonSerializable(typeof(JournalEntry))]
[JsonSerializable(typeof(FormerHangs))]
internal sealed partial class JournalJson : JsonSerializerContext;
