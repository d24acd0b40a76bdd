using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pipeline.Checkpoints;

/// <summary>
/// The manifest as JSON text. Its last line holds a hash of everything before it, so that one flipped bit anywhere is found.
/// </summary>
internal static class ManifestText
{
    /// <summary>More than a million tensors need; a bound against hostile files.</summary>
    internal const long MaxByteCount = 512L << 20;

    private const string TailStart = ",\n  \"manifest_hash\": \"";
    private const string TailEnd = "\"\n}\n";
    private const string BodyEnd = "\n}";

    internal static byte[] Write(CheckpointManifest manifest)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(manifest, ManifestJson.Default.CheckpointManifest);
        var open = body.AsSpan(0, body.Length - BodyEnd.Length);
        return [.. open, .. Encoding.ASCII.GetBytes(TailStart + ContentHash.Of(open) + TailEnd)];
    }

    /// <exception cref="CheckpointException">The text is not a manifest, was altered, or breaks its own rules.</exception>
    internal static CheckpointManifest Read(ReadOnlySpan<byte> text, string path)
    {
        var tailByteCount = TailStart.Length + ContentHash.DigitCount + TailEnd.Length;
        if (text.Length <= tailByteCount)
            throw CheckpointException.Damaged(path, $"it has {text.Length} bytes, too few for a manifest");
        var open = text[..^tailByteCount];
        if (!text[^tailByteCount..].SequenceEqual(Encoding.ASCII.GetBytes(TailStart + ContentHash.Of(open) + TailEnd)))
            throw CheckpointException.Damaged(path, "it does not match the hash in its last line, so it was altered or cut off");
        var manifest = Parse([.. open, .. Encoding.ASCII.GetBytes(BodyEnd)], path);
        return ManifestValidator.FindFault(manifest) is { } fault ? throw CheckpointException.Damaged(path, fault) : manifest;
    }

    private static CheckpointManifest Parse(byte[] body, string path)
    {
        try
        {
            var version = JsonSerializer.Deserialize(body, ManifestJson.Default.ManifestVersion)?.Version;
            if (version != CheckpointManifest.CurrentVersion)
                throw new CheckpointException($"{path} has format version {version}, this program reads version {CheckpointManifest.CurrentVersion}. Use the program that wrote it.");
            return JsonSerializer.Deserialize(body, ManifestJson.Default.CheckpointManifest)
                ?? throw CheckpointException.Damaged(path, "it is empty");
        }
        catch (JsonException exception)
        {
            throw CheckpointException.Damaged(path, $"it is not a manifest ({exception.Message.TrimEnd('.')})");
        }
    }
}

/// <summary>As much of a manifest as every version has.</summary>
internal sealed record ManifestVersion(int Version);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    WriteIndented = true,
    NewLine = "\n",
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(CheckpointManifest))]
[JsonSerializable(typeof(ManifestVersion))]
[JsonSerializable(typeof(WeightIndex))]
internal sealed partial class ManifestJson : JsonSerializerContext;
