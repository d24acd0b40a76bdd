using System.Text.Json;
using System.Text.Json.Serialization;
using Pipeline.Runs;

namespace Pipeline.Coordinator;

/// <summary>Dumps as files of a run directory: JSON, each under a name of its own, the oldest removed beyond a number.</summary>
public static class FlightFile
{
    /// <summary>Files that a run keeps: one that stalls again and again must not fill the disk.</summary>
    public const int KeptCount = 32;

    private static readonly Lock Gate = new();

    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
        WriteIndented = true,
    };

    /// <summary>Writes a dump.</summary>
    /// <returns>Its path.</returns>
    /// <exception cref="RunException">It cannot be written.</exception>
    public static string Write(RunFiles files, FlightDump dump)
    {
        lock (Gate)
        {
            string path;
            try
            {
                Directory.CreateDirectory(files.Dumps);
                var present = Directory.GetFiles(files.Dumps, "dump-*.json").Order(StringComparer.Ordinal).ToArray();
                foreach (var old in present.SkipLast(KeptCount - 1)) File.Delete(old);
                var last = present.Length > 0 && int.TryParse(Path.GetFileName(present[^1]).AsSpan(5, 5), out var number) ? number : 0;
                path = Path.Combine(files.Dumps, FormattableString.Invariant($"dump-{last + 1:D5}-step-{dump.Step}.json"));
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
            {
                throw new RunException($"Cannot write into {files.Dumps}: {fault.Message.TrimEnd('.')}. Check free space and the folder's permissions.", fault);
            }

            AtomicFile.Write(path, stream => JsonSerializer.Serialize(stream, dump, Options));
            return path;
        }
    }

    /// <summary>Reads a dump.</summary>
    /// <exception cref="RunException">There is none, or the file is no dump.</exception>
    public static FlightDump Read(string path)
    {
        try
        {
            using var stream = File.OpenRead(path);
            return JsonSerializer.Deserialize<FlightDump>(stream, Options) is { Ranks: { } ranks, Reason: not null } dump && ranks.All(rank => rank?.Entries is not null) && ranks.DistinctBy(rank => rank.Rank).Count() == ranks.Count
                ? dump : throw new RunException($"{path} is no dump of flight recorders: expected reason, step, generation, rank_count and ranks. Name a file that `dump` or a stall has written under dumps/.");
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new RunException($"Cannot read {path} as a dump of flight recorders: {fault.Message.TrimEnd('.')}. Name a file that `dump` or a stall has written under dumps/.", fault);
        }
    }
}
