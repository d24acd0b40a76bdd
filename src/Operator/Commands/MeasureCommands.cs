using System.Globalization;
using System.Text.Json.Nodes;

namespace Pipeline.Operator;

/// <summary>What was measured: metrics, the loss as a curve, why it is slow, what each stage did.</summary>
internal static class MeasureCommands
{
    private const int CurveWidth = 60;

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
        new("explain", "", "Why the run is as slow as it is: bubble, waits, links, stragglers, in words and numbers.")
        {
            Examples = [("explain", "what would make it faster?")],
            Run = ExplainAsync,
        },
        TimelineCommand.Command,
    ];

    private static async Task<CommandAnswer> ExplainAsync(CommandRequest request)
    {
        var traced = request.Watch.Traced;
        var simulated = request.Run.IsLed && traced.Count > 0 ? SimulatedTimeline.Of(await request.Run.StatusAsync(request.Cancellation).ConfigureAwait(false), traced) : null;
        var (text, json) = Explanation.Of(
            request.Watch.Recent(Explanation.StepCount),
            await request.Run.LinksAsync(request.Cancellation).ConfigureAwait(false),
            simulated is null ? null : (SimulatedTimeline.SecondsOf(traced[^1]), simulated.Seconds));
        return new CommandAnswer(true, text, json);
    }

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

    private static string Format(double value) => value is 0 or (>= 0.001 and < 1e6) ? value.ToString("0.####", CultureInfo.InvariantCulture) : value.ToString("0.###E+0", CultureInfo.InvariantCulture);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
