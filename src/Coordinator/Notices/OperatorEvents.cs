using Pipeline.Protocol;
using Pipeline.Runs;

namespace Pipeline.Coordinator;

/// <summary>What operators do to a run, and what the run's watch has to say, as lines of its event log. Owns nothing.</summary>
internal static class OperatorEvents
{
    /// <summary>Writes a notice of that kind; other notices say nothing here.</summary>
    internal static void Write(EventLog events, RunNotice notice)
    {
        switch (notice)
        {
            case RunNotice.Paused paused:
                events.Write("run-paused", EventSeverity.Information, EventField.Of("step", paused.Step));
                break;
            case RunNotice.Resumed resumed:
                events.Write("run-resumed", EventSeverity.Information, EventField.Of("step", resumed.Step));
                break;
            case RunNotice.SettingChanged { Change: var change }:
                events.Write("setting-changed", EventSeverity.Information, EventField.Of("step", change.FromStep), EventField.Of("setting", SettingChange.NameOf(change.Setting)), change.AsWord() is { } word ? EventField.Of("value", word) : EventField.Of("value", change.Value));
                break;
            case RunNotice.Commanded commanded:
                events.Write(commanded.IsDone ? "command-done" : "command-refused", commanded.IsDone ? EventSeverity.Information : EventSeverity.Warning,
                    EventField.Of("operator", commanded.Operator), EventField.Of("command", commanded.Command), EventField.Of("result", commanded.Result), EventField.Of("id", commanded.Id));
                break;
            case RunNotice.Warned warned:
                events.Write(warned.Kind, EventSeverity.Warning, EventField.Of("step", warned.Step), EventField.Of("message", warned.Message));
                break;
        }
    }
}
