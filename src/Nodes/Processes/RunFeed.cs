using System.Text.Json;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Runs;

namespace Pipeline.Nodes;

/// <summary>
/// Reads along in a run directory what the run writes there, whoever leads it at the moment: files outlive their writer, so a follower
/// notices nothing of a change of leader. What stood there at the start is passed over.
/// </summary>
public sealed class RunFeed
{
    private readonly GrowingFile _metrics;
    private readonly GrowingFile _events;

    /// <summary>Begins at the present end of the run's files.</summary>
    public RunFeed(RunFiles files) => (_metrics, _events) = (new GrowingFile(files.Metrics), new GrowingFile(files.Events));

    /// <summary>How the run ended; null while it goes on.</summary>
    public RunOutcome? Outcome { get; private set; }

    /// <summary>What has been written since the last call: steps and evaluations first, then events.</summary>
    public IEnumerable<RunNotice> Next()
    {
        // The end is written after the last step: who sees the one must have seen the other.
        var events = _events.NextLines();
        foreach (var line in _metrics.NextLines())
        {
            if (Parse(line) is { } json && Metric(json) is { } notice) yield return notice;
        }

        foreach (var line in events)
        {
            if (Parse(line) is { } json && Event(json) is { } notice) yield return notice;
        }
    }

    private static JsonElement? Parse(string line)
    {
        try
        {
            return JsonDocument.Parse(line).RootElement;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static RunNotice? Metric(JsonElement line)
    {
        var step = line.GetProperty("step").GetInt64();
        return line.TryGetProperty("val_loss", out var loss)
            ? new RunNotice.Evaluated(step, Number(loss), 0)
            : new RunNotice.StepCommitted(new StepSummary(
                step, Number(line.GetProperty("loss")), Number(line.GetProperty("grad_norm")), Number(line.GetProperty("lr")), line.GetProperty("tokens").GetInt64(),
                Number(line.GetProperty("seconds")), Number(line.GetProperty("bubble")), [], [])
            {
                IsClipped = Flag(line, "clipped"),
                IsRedone = Flag(line, "redone"),
            });
    }

    private static bool Flag(JsonElement line, string name) => line.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.True;

    private RunNotice? Event(JsonElement line)
    {
        var (step, message) = (Whole(line, "step"), Text(line, "message"));
        switch (Text(line, "event"))
        {
            case "checkpoint-saved": return new RunNotice.CheckpointSaved(step, Whole(line, "bytes"), null);
            case "save-failed": return new RunNotice.SaveFailed(step, message ?? "");
            case "stop-requested": return new RunNotice.Stopping(step);
            case "run-completed": return End(new RunOutcome(RunEnd.Completed, step));
            case "run-stopped": return End(new RunOutcome(RunEnd.Stopped, step));
            case "run-failed": return End(new RunOutcome(RunEnd.Failed, step, message) { IsPreparationFailure = line.TryGetProperty("preparation", out var early) && early.GetBoolean() });
            case "recovering": return new RunNotice.Recovering(new Generation((int)Whole(line, "generation")), message ?? "", []);
            case "recovered": return new RunNotice.Recovered(new Generation((int)Whole(line, "generation")), Span(line, "placement"), Span(line, "loading"), Span(line, "replay"));
            case "rolled-back": return new RunNotice.RolledBack(new Generation((int)Whole(line, "generation")), step, message ?? "");
            case "loss-spike" or "non-finite" or "step-revised" or "stalled" or "straggler" or "throughput-fell" or "disk-nearly-full" or "rebalance"
                or "checkpoint-late" or "evaluation-lost": return new RunNotice.Warned(Text(line, "event") ?? "", step, message ?? "");
            default: return null;
        }
    }

    private RunNotice.Ended End(RunOutcome outcome)
    {
        Outcome = outcome;
        return new RunNotice.Ended(outcome);
    }

    private static TimeSpan Span(JsonElement line, string name) => TimeSpan.FromSeconds(line.TryGetProperty(name, out var value) ? Number(value) : 0);

    private static double Number(JsonElement element) => element.ValueKind == JsonValueKind.Null ? double.NaN : element.GetDouble();

    private static long Whole(JsonElement line, string name) => line.TryGetProperty(name, out var value) && value.TryGetInt64(out var number) ? number : 0;

    private static string? Text(JsonElement line, string name) => line.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
