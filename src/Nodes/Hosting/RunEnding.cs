using System.Text.Json;
using Pipeline.Coordinator;
using Pipeline.Runs;

namespace Pipeline.Nodes;

/// <summary>Whether the last thing that a run's events tell is its end, and how to tell it where no run could be opened.</summary>
internal static class RunEnding
{
    /// <summary>Whether the run in a directory is over: nobody need take it over.</summary>
    internal static bool IsOver(RunFiles files)
    {
        try
        {
            return File.Exists(files.Events) && File.ReadLines(files.Events).LastOrDefault() is { } last && IsEnd(last);
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Tells the end of a run that was never opened.</summary>
    internal static void Write(RunFiles files, RunOutcome outcome)
    {
        using var events = EventLog.Open(files.Events, TimeProvider.System);
        RunRecorder.WriteEnd(events, outcome);
    }

    private static bool IsEnd(string line)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            return json.RootElement.GetProperty("event").GetString() is "run-completed" or "run-stopped" or "run-failed";
        }
        catch (Exception torn) when (torn is JsonException or KeyNotFoundException)
        {
            return false;
        }
    }
}
