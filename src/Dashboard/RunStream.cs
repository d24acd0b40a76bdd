using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Pipeline.Coordinator;
using Pipeline.Operator;

namespace Pipeline.Dashboard;

/// <summary>
/// What happens, as server-sent events, four times a second at most however fast the run is: steps together, happenings one by one. A page
/// that comes back asks for the points that it has missed.
/// </summary>
internal static class RunStream
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(10);

    internal static void Map(WebApplication web, Func<CommandDesk> desk, TimeProvider time) =>
        web.MapGet("/api/stream", context => SendAsync(context, desk().Watch, time));

    private static async Task SendAsync(HttpContext context, RunWatch watch, TimeProvider time)
    {
        var cancellation = context.RequestAborted;
        context.Response.ContentType = "text/event-stream";
        using var listening = watch.Listen();
        await WriteAsync(context, ": here\n\n").ConfigureAwait(false);
        while (!cancellation.IsCancellationRequested)
        {
            using (var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellation))
            {
                silence.CancelAfter(Silence);
                try
                {
                    if (!await listening.Reader.WaitToReadAsync(silence.Token).ConfigureAwait(false)) return;
                }
                catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
                {
                    // So that a connection that is gone is noticed on either side.
                    await WriteAsync(context, ": still here\n\n").ConfigureAwait(false);
                    continue;
                }
            }

            await WriteAsync(context, Events(listening, time)).ConfigureAwait(false);
            await Task.Delay(Pause, time, cancellation).ConfigureAwait(false);
        }
    }

    private static string Events(RunWatch.Listening listening, TimeProvider time)
    {
        List<StepPoint> steps = [];
        List<string> events = [];
        while (listening.Reader.TryRead(out var notice))
        {
            if (notice is RunNotice.StepCommitted { Step: var step })
                steps.Add(new StepPoint(step.Step, step.Loss, step.GradientNorm, step.LearningRate, step.TokenCount, step.Seconds, step.Bubble));
            if (notice is RunNotice.Evaluated evaluated) events.Add(Event("evaluation", new JsonArray(evaluated.AfterStep, StatusJson.Finite(evaluated.Loss))));
            if (Happening.Of(notice, time.GetUtcNow(), steps.LastOrDefault().Step) is { } happening) events.Add(Event("happening", RunQueries.Json(happening)));
        }

        if (steps.Count > 0) events.Insert(0, Event("steps", RunQueries.Json(steps)));
        return string.Concat(events);
    }

    private static string Event(string name, JsonNode data) => $"event: {name}\ndata: {data.ToJsonString()}\n\n";

    private static async Task WriteAsync(HttpContext context, string text)
    {
        await context.Response.WriteAsync(text, context.RequestAborted).ConfigureAwait(false);
        await context.Response.Body.FlushAsync(context.RequestAborted).ConfigureAwait(false);
    }
}
