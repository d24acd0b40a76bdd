using System.Text.Json;

namespace Pipeline.Data;

/// <summary>What stands in <c>prepared.json</c>, the last file written into a prepared folder.</summary>
internal sealed record PreparedRecord
{
    public const string FileName = "prepared.json";
    public const string TrainingFileName = "training.tokens";
    public const string ValidationFileName = "validation.tokens";

    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Disallow,
    };

    public required string Corpus { get; init; }
    public required string CorpusHash { get; init; }
    public required string TokenizerKind { get; init; }
    public required string TokenizerHash { get; init; }
    public required IReadOnlyList<string> Notices { get; init; }

    public void Save(string folder)
    {
        using FileStream stream = new(Path.Combine(folder, FileName), FileMode.CreateNew);
        JsonSerializer.Serialize(stream, this, Json);
        stream.Flush(flushToDisk: true);
    }

    /// <exception cref="DataException">It is missing or damaged.</exception>
    public static PreparedRecord Load(string folder)
    {
        string path = Path.Combine(folder, FileName);
        try
        {
            return JsonSerializer.Deserialize<PreparedRecord>(File.ReadAllBytes(path), Json) ?? throw new JsonException("It holds null.");
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{path} cannot be read: {e.Message} Delete the folder and prepare the corpus again.", e);
        }
    }
}
