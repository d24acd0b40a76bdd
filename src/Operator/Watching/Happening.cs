using System.Globalization;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Runs;

namespace Pipeline.Operator;

/// <summary>Something that happened to a run beside its steps, as people read it.</summary>
/// <param name="Time">When it was heard of.</param>
/// <param name="Step">The last committed step then, or the step that it is about.</param>
/// <param name="Kind">The name of its event.</param>
/// <param name="Text">A sentence.</param>
public sealed record Happening(DateTimeOffset Time, long Step, string Kind, string Text)
{
    /// <summary>What a notice says to people; null for those that are no happening, such as steps.</summary>
    public static Happening? Of(RunNotice notice, DateTimeOffset time, long step) => notice switch
    {
        RunNotice.Evaluated evaluated => new(time, evaluated.AfterStep, "evaluated", Invariant($"validation loss {evaluated.Loss:F4}")),
        RunNotice.CheckpointSaved saved => new(time, saved.Step, "checkpoint-saved", Invariant($"{saved.ByteCount / 1048576.0:F1} MiB")),
        RunNotice.SaveFailed failed => new(time, failed.Step, "save-failed", failed.Message),
        RunNotice.StageFailed failed => new(time, failed.Failure.Step, "stage-failed", failed.Failure.Message),
        RunNotice.Stopping stopping => new(time, step, "stop-requested", $"after step {stopping.EndStep} at the latest"),
        RunNotice.Paused paused => new(time, paused.Step, "run-paused", $"after step {paused.Step}"),
        RunNotice.Resumed resumed => new(time, resumed.Step, "run-resumed", $"after step {resumed.Step}"),
        RunNotice.SettingChanged { Change: var change } => new(time, change.FromStep, "setting-changed", Invariant($"{SettingChange.NameOf(change.Setting)} = {change.AsText()} from step {change.FromStep} on")),
        RunNotice.Commanded commanded => new(time, step, commanded.IsDone ? "command-done" : "command-refused", $"{commanded.Operator}: {commanded.Command}: {commanded.Result}"),
        RunNotice.Warned warned => new(time, warned.Step, warned.Kind, warned.Message),
        RunNotice.FlightGathered { Dump: var dump } => new(time, dump.Step, "flight-dumped", dump.Reason),
        RunNotice.NodeJoined joined => new(time, step, "node-joined", $"{joined.Node.Id} on {joined.Node.HostName}"),
        RunNotice.NodeLost lost => new(time, step, "node-lost", $"{lost.Node.Id}: {lost.Reason}"),
        RunNotice.Recovering recovering => new(time, step, "recovering", $"generation {recovering.Generation.Number}: {recovering.Reason}"),
        RunNotice.Recovered recovered => new(time, step, "recovered", Invariant($"in {(recovered.Placement + recovered.Loading + recovered.Replay).TotalSeconds:F2} s")),
        RunNotice.ReplicasChanged changed => new(time, changed.Step, "replicas-changed", $"{changed.To} instead of {changed.From}: {changed.Reason}"),
        RunNotice.RolledBack back => new(time, back.Step, "rolled-back", back.Reason),
        RunNotice.UnitsMoved moved => new(time, moved.Step, "units-moved", $"{string.Join(" + ", moved.UnitCounts)} units"),
        RunNotice.Ended ended => new(time, ended.Outcome.Step, "run-ended", ended.Outcome.Error ?? ended.Outcome.End.ToString().ToLowerInvariant()),
        _ => null,
    };

    /// <summary>What a line of the run's events says to people.</summary>
    public static Happening Of(RecordedEvent line)
    {
        var text = line.Fields.Where(field => field.Key is not ("step" or "detail" or "preparation" or "id") && field.Value.Length > 0)
            .Select(field => field.Key is "message" or "result" or "reason" ? field.Value : $"{field.Key} {field.Value}");
        return new(line.Time, long.TryParse(line.Fields.GetValueOrDefault("step"), CultureInfo.InvariantCulture, out var step) ? step : 0, line.Name, Protocol.Security.SafeText.Of(string.Join(", ", text), 400));
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
