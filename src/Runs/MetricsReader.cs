using System.Text.Json;

namespace Pipeline.Runs;

/// <summary>Reads <c>metrics.jsonl</c>, also while it is written. A torn last line is left out; damage before it is an error.</summary>
public static class MetricsReader
{
    /// <summary>All lines in order.</summary>
    /// <exception cref="RunException">The file cannot be read or is damaged.</exception>
    public static IEnumerable<MetricsLine> Read(string path)
    {
        foreach (var (number, line) in JsonLinesReader.Read(path))
            yield return Parse(path, number, line);
    }

    /// <summary>The step of a line, or null where it has none.</summary>
    internal static long? StepOf(JsonElement line) =>
        line.TryGetProperty("step", out var step) && step.ValueKind == JsonValueKind.Number && step.TryGetInt64(out var number) ? number : null;

    private static MetricsLine Parse(string path, int number, JsonElement line)
    {
        try
        {
            return line.TryGetProperty("val_loss", out _) ? Evaluation(line) : Step(line);
        }
        catch (Exception exception) when (exception is KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw JsonLinesReader.Damaged(path, number, "it is neither a step nor an evaluation");
        }
    }

    private static EvaluationMetrics Evaluation(JsonElement line) => new(
        line.GetProperty("step").GetInt64(),
        Number(line.GetProperty("val_loss")),
        line.TryGetProperty("val_bits_per_byte", out var bits) ? Number(bits) : null);

    private static StepMetrics Step(JsonElement line) => new(line.GetProperty("step").GetInt64())
    {
        Loss = Number(line.GetProperty("loss")),
        GradientNorm = Number(line.GetProperty("grad_norm")),
        LearningRate = Number(line.GetProperty("lr")),
        Tokens = line.GetProperty("tokens").GetInt64(),
        Seconds = Number(line.GetProperty("seconds")),
        Bubble = Number(line.GetProperty("bubble")),
        Clipped = line.TryGetProperty("clipped", out var clipped) ? clipped.GetBoolean() : null,
        Redone = line.TryGetProperty("redone", out var redone) ? redone.GetBoolean() : null,
        Generation = line.TryGetProperty("generation", out var generation) ? generation.GetInt32() : null,
        Stages = [.. line.GetProperty("stages").EnumerateArray().Select(Stage)],
        Digest = line.TryGetProperty("digest", out var digest)
            ? digest.EnumerateObject().ToDictionary(unit => unit.Name, unit => unit.Value.GetString() ?? throw new FormatException(), StringComparer.Ordinal)
            : null,
    };

    private static StageMetrics Stage(JsonElement stage) => new(
        stage.GetProperty("rank").GetInt32(),
        Number(stage.GetProperty("busy")),
        Number(stage.GetProperty("wait")),
        Number(stage.GetProperty("bubble")),
        stage.TryGetProperty("discarded", out var discarded) ? discarded.GetInt32() : 0,
        stage.TryGetProperty("exposed", out var exposed) ? Number(exposed) : null,
        stage.TryGetProperty("sent", out var sent) ? sent.GetInt64() : null,
        stage.TryGetProperty("seconds", out var seconds) ? Number(seconds) : null,
        stage.TryGetProperty("idle", out var idle) ? Number(idle) : null);

    private static double Number(JsonElement element) => element.ValueKind == JsonValueKind.Null ? double.NaN : element.GetDouble();
}
