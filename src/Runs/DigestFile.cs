using System.Text.Json;

namespace Pipeline.Runs;

/// <summary>
/// <c>digests.jsonl</c>: per step, unit and tensor the hashes of weight and moments, in the model's order. One array a tensor:
/// <c>{"step":1,"tensors":[{"unit":"block.0.attention","tensor":"query.weight","weight":"…","exp_avg":"…","exp_avg_sq":"…"}]}</c>.
/// </summary>
public sealed class DigestFile : IDisposable
{
    internal const string WeightName = "weight";
    internal const string FirstMomentName = "exp_avg";
    internal const string SecondMomentName = "exp_avg_sq";

    private readonly JsonLinesWriter _lines;

    private DigestFile(JsonLinesWriter lines) => _lines = lines;

    /// <summary>Opens the file of a new run.</summary>
    /// <exception cref="RunException">It cannot be written.</exception>
    public static DigestFile Create(string path) => new(JsonLinesWriter.Append(path));

    /// <summary>Opens the file of a run that goes on after <paramref name="lastStep"/>; later lines go.</summary>
    /// <exception cref="RunException">It cannot be written, or is damaged before its last line.</exception>
    public static DigestFile Resume(string path, long lastStep) =>
        new(JsonLinesWriter.Resume(path, line => MetricsReader.StepOf(line) is not { } step || step <= lastStep));

    /// <summary>Goes on after <paramref name="lastStep"/> in a copy of the file, out of reach of whoever has it open.</summary>
    /// <exception cref="RunException">It cannot be written, or is damaged before its last line.</exception>
    public static DigestFile TakeOver(string path, long lastStep) =>
        new(JsonLinesWriter.TakeOver(path, line => MetricsReader.StepOf(line) is not { } step || step <= lastStep));

    /// <summary>Writes the hashes of a step.</summary>
    /// <exception cref="RunException">The line cannot be written.</exception>
    public void Write(StepDigests digests) => _lines.Write(json =>
    {
        json.WriteNumber("step", digests.Step);
        json.WriteStartArray("tensors");
        foreach (var tensor in digests.Tensors)
        {
            json.WriteStartObject();
            json.WriteString("unit", tensor.Unit);
            json.WriteString("tensor", tensor.Tensor);
            json.WriteString(WeightName, tensor.Weight);
            if (tensor.FirstMoment is { } first)
                json.WriteString(FirstMomentName, first);
            if (tensor.SecondMoment is { } second)
                json.WriteString(SecondMomentName, second);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    });

    /// <summary>All steps in order. A torn last line is left out.</summary>
    /// <exception cref="RunException">The file cannot be read or is damaged.</exception>
    public static IEnumerable<StepDigests> Read(string path)
    {
        foreach (var (number, line) in JsonLinesReader.Read(path))
            yield return Parse(path, number, line);
    }

    /// <inheritdoc/>
    public void Dispose() => _lines.Dispose();

    private static StepDigests Parse(string path, int number, JsonElement line)
    {
        try
        {
            return new StepDigests(line.GetProperty("step").GetInt64(), [.. line.GetProperty("tensors").EnumerateArray().Select(Tensor)]);
        }
        catch (Exception exception) when (exception is KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw JsonLinesReader.Damaged(path, number, "it holds no digests");
        }
    }

    private static TensorDigest Tensor(JsonElement tensor) => new(
        Text(tensor, "unit") ?? throw new FormatException(),
        Text(tensor, "tensor") ?? throw new FormatException(),
        Text(tensor, WeightName) ?? throw new FormatException(),
        Text(tensor, FirstMomentName),
        Text(tensor, SecondMomentName));

    private static string? Text(JsonElement tensor, string name) => tensor.TryGetProperty(name, out var value) ? value.GetString() : null;
}
