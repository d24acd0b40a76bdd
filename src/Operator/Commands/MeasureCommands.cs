using System.Globalization;
using System.Text.Json.Nodes;
using Pipeline.Protocol;

namespace Pipeline.Operator;

/// <summary>What was measured: metrics, the loss as a curve, why it is slow, what each stage did.</summary>
internal static class MeasureCommands
{
    private const int CurveWidth = 60;
    private const int TimelineWidth = 72;

    private static readonly IReadOnlyDictionary<string, Func<StepPoint, double>> Metrics = new Dictionary<string, Func<StepPoint, double>>(StringComparer.Ordinal)
    {
        ["loss"] = point => point.Loss,
        ["grad_norm"] = point => point.GradientNorm,
        ["lr"] = point => point.LearningRate,
        ["tokens_per_second"] = point => point.TokensPerSecond,
        ["seconds"] = point => point.Seconds,
        ["bubble"] = point => point.Bubble,
    };

    internal static IEnumerable<string> MetricNames => Metrics.Keys;

    internal static IReadOnlyList<OperatorCommand> All { get; } =
    [
        new("metrics", "[NAME]", "The newest value of each metric with its course; one of them in more detail.")
        {
            Detail = $"Names: {string.Join(", ", Metrics.Keys)}. The whole history is in metrics.jsonl.",
            Examples = [("metrics", "all at a glance"), ("metrics grad_norm", "the last 20 values")],
            ArgumentCount = (0, 1),
            Completions = [Completion.Metric],
            Run = request => Task.FromResult(Measured(request)),
        },
        new("loss", "", "The loss from the first step to the newest as a line, and the validation losses.")
        {
            Examples = [("loss", "does it learn?")],
            Run = request => Task.FromResult(Loss(request)),
        },
        new("explain", "", "Why the run is as slow as it is: bubble, waits, stragglers, in words and numbers.")
        {
            Examples = [("explain", "what would make it faster?")],
            Run = request =>
            {
                var (text, json) = Explanation.Of(request.Watch.Recent(Explanation.StepCount));
                return Task.FromResult(new CommandAnswer(true, text, json));
            },
        },
        new("timeline", "", "What each rank did in the newest step whose actions were recorded.")
        {
            Detail = "F is a forward, B a backward, I and W its halves, R a recomputation, o what ends the step. Actions are recorded in the run's first steps (run.trace-steps) and while `trace start` holds.",
            Examples = [("timeline", "where are the gaps?")],
            Run = request => Task.FromResult(Timeline(request)),
        },
    ];

    private static CommandAnswer Measured(CommandRequest request)
    {
        var points = request.Watch.Points();
        if (points.Count == 0) return new CommandAnswer(true, "No step is committed yet.", new JsonObject());
        if (request[0] is { } name)
        {
            if (!Metrics.TryGetValue(name, out var value)) throw new OperatorException($"There is no metric '{Protocol.Security.SafeText.Of(name)}'. Expected one of {string.Join(", ", Metrics.Keys)}.");
            var newest = points.TakeLast(20).ToArray();
            return new CommandAnswer(
                true,
                Sparkline.Of([.. points.Select(value)], CurveWidth) + "\n" + string.Join('\n', newest.Select(point => $"{point.Step,8}  {Format(value(point))}")),
                new JsonArray([.. newest.Select(point => (JsonNode)new JsonObject { ["step"] = point.Step, [name] = StatusJson.Finite(value(point)) })]));
        }

        var last = points[^1];
        return new CommandAnswer(
            true,
            $"step {last.Step}\n" + TextTable.Of(["metric", "newest", "course"], Metrics.Select(metric => (IReadOnlyList<string>)
                [metric.Key, Format(metric.Value(last)), Sparkline.Of([.. points.TakeLast(600).Select(metric.Value)], CurveWidth)])),
            new JsonObject([new("step", last.Step), .. Metrics.Select(metric => KeyValuePair.Create(metric.Key, StatusJson.Finite(metric.Value(last))))]));
    }

    private static CommandAnswer Loss(CommandRequest request)
    {
        var points = request.Watch.Points();
        if (points.Count == 0) return new CommandAnswer(true, "No step is committed yet.", new JsonObject());
        var evaluations = request.Watch.Evaluations;
        var text = Invariant($"{points[0].Loss:F4} {Sparkline.Of([.. points.Select(point => point.Loss)], CurveWidth)} {points[^1].Loss:F4}  (steps {points[0].Step} to {points[^1].Step})");
        if (evaluations.Count > 0) text += Invariant($"\nvalidation {string.Join(", ", evaluations.TakeLast(6).Select(one => Invariant($"{one.ValidationLoss:F4} after {one.Step}")))}");
        return new CommandAnswer(true, text, new JsonObject
        {
            ["first"] = StatusJson.Finite(points[0].Loss), ["newest"] = StatusJson.Finite(points[^1].Loss), ["step"] = points[^1].Step,
            ["validation"] = new JsonArray([.. evaluations.TakeLast(20).Select(one => (JsonNode)new JsonObject { ["step"] = one.Step, ["val_loss"] = StatusJson.Finite(one.ValidationLoss) })]),
        });
    }

    private static CommandAnswer Timeline(CommandRequest request)
    {
        if (request.Watch.Traced is not [.., var step]) return new CommandAnswer(true, "No actions were recorded since this process leads the run. `trace start` has them recorded.", new JsonObject());
        var spans = step.Ranks.SelectMany(rank => rank.Spans).ToArray();
        var (from, to) = (spans.Min(span => span.StartTicks), spans.Max(span => span.EndTicks));
        var lines = step.Ranks.Select(rank => $"rank {rank.Rank}  {Lane(rank.Spans, from, to)}  {rank.Timing.Bubble.ToString("P0", CultureInfo.InvariantCulture)} idle");
        return new CommandAnswer(true, Invariant($"step {step.Step}, {(to - from) / 1e7:F3} s\n") + string.Join('\n', lines), new JsonObject
        {
            ["step"] = step.Step,
            ["ranks"] = new JsonArray([.. step.Ranks.Select(rank => (JsonNode)new JsonObject
            {
                ["rank"] = rank.Rank,
                ["spans"] = new JsonArray([.. rank.Spans.Take(400).Select(span => (JsonNode)new JsonObject { ["action"] = span.Action, ["start"] = (span.StartTicks - from) / 1e7, ["end"] = (span.EndTicks - from) / 1e7 })]),
            })]),
        });
    }

    private static string Lane(IReadOnlyList<ExecutedSpan> spans, long from, long to)
    {
        var lane = Enumerable.Repeat('·', TimelineWidth).ToArray();
        foreach (var span in spans)
        {
            var letter = span.Action.FirstOrDefault(char.IsAsciiLetterUpper, 'o');
            for (var place = Place(span.StartTicks); place <= Math.Min(TimelineWidth - 1, Place(span.EndTicks)); place++) lane[place] = letter;
        }

        return new string(lane);

        int Place(long ticks) => (int)((ticks - from) * (TimelineWidth - 1) / Math.Max(1, to - from));
    }

    private static string Format(double value) => value is 0 or (>= 0.001 and < 1e6) ? value.ToString("0.####", CultureInfo.InvariantCulture) : value.ToString("0.###E+0", CultureInfo.InvariantCulture);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
