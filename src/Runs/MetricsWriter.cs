using System.Text.Json;

namespace Pipeline.Runs;

/// <summary>
/// Writes <c>metrics.jsonl</c>: a line per committed step, handed to the system at once. Numbers have their shortest form that reads back
/// as the same bits; those that are not finite become null. Safe for many threads.
/// </summary>
public sealed class MetricsWriter : IDisposable
{
    private readonly JsonLinesWriter _lines;

    private MetricsWriter(JsonLinesWriter lines) => _lines = lines;

    /// <summary>Opens the file of a new run.</summary>
    /// <exception cref="RunException">It cannot be written.</exception>
    public static MetricsWriter Create(string path) => new(JsonLinesWriter.Append(path));

    /// <summary>Opens the file of a run that goes on after <paramref name="lastStep"/>: lines of later steps go, since they will be computed again.</summary>
    /// <exception cref="RunException">It cannot be written, or is damaged before its last line; it is then left as it was.</exception>
    public static MetricsWriter Resume(string path, long lastStep) =>
        new(JsonLinesWriter.Resume(path, line => MetricsReader.StepOf(line) is not { } step || step <= lastStep));

    /// <summary>Goes on in a copy of the file, out of reach of whoever has it open.</summary>
    /// <exception cref="RunException">It cannot be written, or is damaged before its last line.</exception>
    public static MetricsWriter TakeOver(string path) => new(JsonLinesWriter.TakeOver(path, static _ => true));

    /// <summary>Writes a training step.</summary>
    /// <exception cref="RunException">The line cannot be written.</exception>
    public void Write(StepMetrics metrics) => _lines.Write(json =>
    {
        json.WriteNumber("step", metrics.Step);
        WriteNumber(json, "loss", metrics.Loss);
        WriteNumber(json, "grad_norm", metrics.GradientNorm);
        WriteNumber(json, "lr", metrics.LearningRate);
        json.WriteNumber("tokens", metrics.Tokens);
        WriteNumber(json, "seconds", metrics.Seconds);
        WriteNumber(json, "bubble", metrics.Bubble);
        if (metrics.Clipped is { } clipped) json.WriteBoolean("clipped", clipped);
        if (metrics.Redone is { } redone) json.WriteBoolean("redone", redone);
        if (metrics.Generation is { } generation) json.WriteNumber("generation", generation);
        json.WriteStartArray("stages");
        foreach (var stage in metrics.Stages)
            WriteStage(json, stage);
        json.WriteEndArray();
        if (metrics.Digest is { } digest)
            WriteDigest(json, digest);
    });

    /// <summary>Writes an evaluation.</summary>
    /// <exception cref="RunException">The line cannot be written.</exception>
    public void Write(EvaluationMetrics metrics) => _lines.Write(json =>
    {
        json.WriteNumber("step", metrics.Step);
        WriteNumber(json, "val_loss", metrics.ValidationLoss);
        if (metrics.BitsPerByte is { } bitsPerByte)
            WriteNumber(json, "val_bits_per_byte", bitsPerByte);
    });

    /// <inheritdoc/>
    public void Dispose() => _lines.Dispose();

    private static void WriteStage(Utf8JsonWriter json, StageMetrics stage)
    {
        json.WriteStartObject();
        json.WriteNumber("rank", stage.Rank);
        WriteNumber(json, "busy", stage.Busy);
        WriteNumber(json, "wait", stage.Wait);
        WriteNumber(json, "bubble", stage.Bubble);
        if (stage.Seconds is { } seconds) WriteNumber(json, "seconds", seconds);
        if (stage.Idle is { } idle) WriteNumber(json, "idle", idle);
        if (stage.Discarded > 0) json.WriteNumber("discarded", stage.Discarded);
        if (stage.Exposed is { } exposed) WriteNumber(json, "exposed", exposed);
        if (stage.Sent is { } sent) json.WriteNumber("sent", sent);
        json.WriteEndObject();
    }

    private static void WriteDigest(Utf8JsonWriter json, IReadOnlyDictionary<string, string> digest)
    {
        json.WriteStartObject("digest");
        foreach (var (unit, hash) in digest)
            json.WriteString(unit, hash);
        json.WriteEndObject();
    }

    private static void WriteNumber(Utf8JsonWriter json, string name, double value)
    {
        if (double.IsFinite(value))
            json.WriteNumber(name, value);
        else
            json.WriteNull(name);
    }
}
