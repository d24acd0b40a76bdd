using System.Globalization;
using System.Text.Json.Nodes;
using Pipeline.Coordinator;
using Pipeline.Protocol;

namespace Pipeline.Operator;

/// <summary>What each rank did in the newest steps whose actions were recorded, and below it what the schedule alone would make of the same actions.</summary>
internal static class TimelineCommand
{
    private const int Width = 72;
    private const int MostSpans = 400;

    internal static OperatorCommand Command { get; } = new("timeline", "[STEPS]", "What each rank did in the newest step whose actions were recorded, and what the schedule alone would make of it.")
    {
        Detail = "F is a forward, B a backward, I and W its halves, R a recomputation, o what ends the step. The second lane of a rank is simulated with the durations that the actions were measured to have. Actions are recorded in the run's first steps (run.trace-steps) and while `trace start` holds; the newest eight such steps are kept.",
        Examples = [("timeline", "where are the gaps, and would they be there without links and chance?"), ("timeline 3", "are they in the same place from step to step?")],
        ArgumentCount = (0, 1),
        Run = RunAsync,
    };

    private static async Task<CommandAnswer> RunAsync(CommandRequest request)
    {
        var count = request[0] is null ? 1 : request.Number(0, "number of steps");
        if (count == 0) throw new OperatorException("Expected at least one step.");
        var traced = request.Watch.Traced;
        if (traced.Count == 0) return new CommandAnswer(true, "No actions were recorded since this process leads the run. `trace start` has them recorded.", new JsonObject());
        var simulated = request.Run.IsLed ? SimulatedTimeline.Of(await request.Run.StatusAsync(request.Cancellation).ConfigureAwait(false), traced) : null;
        StepSummary[] shown = [.. traced.TakeLast((int)Math.Min(count, traced.Count))];
        // The newest is the answer; asked for several, it tells of those before it beside.
        var json = Json(shown[^1], simulated);
        if (request[0] is not null) json["steps"] = new JsonArray([.. shown.Select(step => (JsonNode)Json(step, null))]);
        return new CommandAnswer(true, string.Join("\n\n", shown.Select(step => Text(step, simulated))), json);
    }

    private static string Text(StepSummary step, SimulatedTimeline? simulated)
    {
        var (from, seconds) = (StartOf(step), SimulatedTimeline.SecondsOf(step));
        var longest = Math.Max(seconds, simulated?.Seconds ?? 0);
        List<string> lines = [Invariant($"step {step.Step}, {seconds:F3} s{(simulated is null ? "" : Invariant($"; the schedule alone {simulated.Seconds:F3} s"))}")];
        foreach (var rank in step.Ranks)
        {
            lines.Add(Invariant($"rank {rank.Rank,-9} {Lane(rank.Spans.Select(span => Of(span, from)), longest)}  {rank.Timing.Bubble:P0} idle"));
            if (simulated is null) continue;
            var (spans, idle) = simulated.Of(rank.Rank);
            lines.Add(Invariant($"  simulated    {Lane(spans.Select(span => (span.Action.ToString(), span.Start, span.End)), longest)}  {idle:P0} idle"));
        }

        return string.Join('\n', lines);
    }

    private static JsonObject Json(StepSummary step, SimulatedTimeline? simulated)
    {
        var from = StartOf(step);
        return new JsonObject
        {
            ["step"] = step.Step,
            ["seconds"] = SimulatedTimeline.SecondsOf(step),
            ["ranks"] = new JsonArray([.. step.Ranks.Select(rank => (JsonNode)new JsonObject
            {
                ["rank"] = rank.Rank,
                ["spans"] = new JsonArray([.. rank.Spans.Take(MostSpans).Select(span => Of(span, from)).Select(span => (JsonNode)new JsonObject
                {
                    ["action"] = span.Action, ["start"] = Math.Round(span.Start, 6), ["end"] = Math.Round(span.End, 6),
                })]),
            })]),
            ["simulated"] = simulated?.Json(MostSpans),
        };
    }

    private static long StartOf(StepSummary step) => step.Ranks.SelectMany(rank => rank.Spans).Min(span => span.StartTicks);

    private static (string Action, double Start, double End) Of(ExecutedSpan span, long from) =>
        (span.Action, (span.StartTicks - from) / SimulatedTimeline.TicksPerSecond, (span.EndTicks - from) / SimulatedTimeline.TicksPerSecond);

    private static string Lane(IEnumerable<(string Action, double Start, double End)> spans, double seconds)
    {
        var lane = Enumerable.Repeat('·', Width).ToArray();
        foreach (var (action, start, end) in spans)
        {
            var letter = action.FirstOrDefault(char.IsAsciiLetterUpper, 'o');
            for (var place = Place(start); place <= Math.Min(Width - 1, Place(end)); place++) lane[place] = letter;
        }

        return new string(lane);

        int Place(double at) => (int)(at * (Width - 1) / Math.Max(1e-9, seconds));
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
