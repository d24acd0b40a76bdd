using System.Text.Json;

namespace Pipeline.Runs;

/// <summary>
/// <c>trace.json</c> in the Trace Event Format that Perfetto and chrome://tracing read: a track per lane, a span per action, an arrow per
/// activation or gradient. Written as a stream; the size of a trace costs no memory.
/// </summary>
public static class ChromeTrace
{
    private const double MicrosecondsPerSecond = 1e6;
    private const int FlushInterval = 1000;

    /// <summary>Writes a trace. Flows are drawn from the end of one span to the begin of another.</summary>
    /// <param name="destination">Neither flushed nor closed.</param>
    /// <param name="timeline">What was executed. Lanes that name the same process form one group.</param>
    public static void Write(Stream destination, Timeline timeline)
    {
        using var json = new Utf8JsonWriter(destination);
        var processes = timeline.Lanes.Select(lane => lane.Process).Distinct(StringComparer.Ordinal).ToList();
        var processOf = timeline.Lanes.Select(lane => processes.IndexOf(lane.Process) + 1).ToArray();
        var origin = timeline.Start;
        json.WriteStartObject();
        json.WriteString("displayTimeUnit", "ms");
        json.WriteStartArray("traceEvents");
        WriteNames(json, timeline, processes, processOf);
        for (var index = 0; index < timeline.Spans.Count; index++)
        {
            WriteSpan(json, timeline.Spans[index], origin, processOf);
            FlushNowAndThen(json, index);
        }

        var flows = timeline.Flows ?? [];
        for (var index = 0; index < flows.Count; index++)
        {
            WriteFlow(json, timeline, flows[index], index + 1, origin, processOf);
            FlushNowAndThen(json, index);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteNames(Utf8JsonWriter json, Timeline timeline, List<string> processes, int[] processOf)
    {
        for (var index = 0; index < processes.Count; index++)
            WriteMetadata(json, "process_name", index + 1, 0, processes[index].Length > 0 ? processes[index] : timeline.Title);
        for (var lane = 0; lane < timeline.Lanes.Count; lane++)
            WriteMetadata(json, "thread_name", processOf[lane], lane + 1, timeline.Lanes[lane].Name);
    }

    private static void WriteMetadata(Utf8JsonWriter json, string what, int process, int thread, string name)
    {
        json.WriteStartObject();
        json.WriteString("name", what);
        json.WriteString("ph", "M");
        json.WriteNumber("pid", process);
        json.WriteNumber("tid", thread);
        json.WriteStartObject("args");
        json.WriteString("name", name);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteSpan(Utf8JsonWriter json, TimelineSpan span, double origin, int[] processOf)
    {
        BeginEvent(json, span.Label, span.Kind, "X", processOf[span.Lane], span.Lane + 1, Microseconds(span.StartSeconds - origin));
        json.WriteNumber("dur", Microseconds(span.Seconds));
        json.WriteStartObject("args");
        if (span.Step is { } step)
            json.WriteNumber("step", step);
        if (span.MicroBatch is { } microBatch)
            json.WriteNumber("microBatch", microBatch);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>An arrow binds to the span that encloses its time, so it begins just before the one span's end.</summary>
    private static void WriteFlow(Utf8JsonWriter json, Timeline timeline, TimelineFlow flow, int id, double origin, int[] processOf)
    {
        var (from, to) = (timeline.Spans[flow.FromSpan], timeline.Spans[flow.ToSpan]);
        var leaves = from.EndSeconds - Math.Min(from.Seconds / 2, 1 / MicrosecondsPerSecond) - origin;
        BeginEvent(json, flow.Name, "flow", "s", processOf[from.Lane], from.Lane + 1, Microseconds(leaves));
        json.WriteNumber("id", id);
        json.WriteEndObject();
        BeginEvent(json, flow.Name, "flow", "f", processOf[to.Lane], to.Lane + 1, Microseconds(to.StartSeconds - origin));
        json.WriteNumber("id", id);
        json.WriteString("bp", "e");
        json.WriteEndObject();
    }

    private static void BeginEvent(Utf8JsonWriter json, string name, string category, string phase, int process, int thread, double microseconds)
    {
        json.WriteStartObject();
        json.WriteString("name", name);
        json.WriteString("cat", category);
        json.WriteString("ph", phase);
        json.WriteNumber("pid", process);
        json.WriteNumber("tid", thread);
        json.WriteNumber("ts", microseconds);
    }

    private static void FlushNowAndThen(Utf8JsonWriter json, int index)
    {
        if (index % FlushInterval == 0)
            json.Flush();
    }

    /// <summary>To the nanosecond; more digits would be noise.</summary>
    private static double Microseconds(double seconds) => Math.Round(seconds * MicrosecondsPerSecond, 3);
}
