using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Pipeline.Operator;
using Pipeline.Runs;

namespace Pipeline.Dashboard;

/// <summary>What the page reads: status, courses, the time line, what happened, other runs to compare with.</summary>
internal static class RunQueries
{
    private const int MostPoints = 4000;

    internal static void Map(WebApplication web, Func<CommandDesk> desk)
    {
        web.MapGet("/api/status", context => CommandAsync(context, desk(), "status"));
        web.MapGet("/api/nodes", context => CommandAsync(context, desk(), "nodes"));
        web.MapGet("/api/stages", context => CommandAsync(context, desk(), "stages"));
        web.MapGet("/api/links", context => CommandAsync(context, desk(), "links"));
        web.MapGet("/api/explain", context => CommandAsync(context, desk(), "explain"));
        web.MapGet("/api/timeline", context => CommandAsync(context, desk(), "timeline"));
        web.MapGet("/api/runs", context => CommandAsync(context, desk(), "runs"));
        web.MapGet("/api/commands", context => CommandAsync(context, desk(), "help"));
        web.MapGet("/api/happenings", context => context.Response.WriteAsJsonAsync(new JsonArray([.. desk().Watch.Happenings.Select(happening => (JsonNode)Json(happening))])));
        web.MapGet("/api/points", context => PointsAsync(context, desk().Watch));
        web.MapGet("/api/compare", context => CompareAsync(context, desk()));
    }

    /// <summary>What the run is at; null where it does not answer.</summary>
    internal static async Task<string?> PhaseAsync(CommandDesk desk, CancellationToken cancellation)
    {
        var answer = await desk.RunAsync(new CommandCall("status", ""), cancellation).ConfigureAwait(false);
        return answer.IsDone ? answer.Json?["phase"]?.ToString() : null;
    }

    internal static JsonObject Json(Happening happening) => new()
    {
        ["time"] = happening.Time.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture), ["step"] = happening.Step, ["kind"] = happening.Kind, ["text"] = happening.Text,
    };

    /// <summary>Points as arrays of step, loss, norm, learning rate, tokens a second, bubble, seconds.</summary>
    internal static JsonArray Json(IEnumerable<StepPoint> points) => new([.. points.Select(point => (JsonNode)new JsonArray(
        point.Step, StatusJson.Finite(point.Loss), StatusJson.Finite(point.GradientNorm), StatusJson.Finite(point.LearningRate),
        StatusJson.Finite(point.TokensPerSecond), StatusJson.Finite(point.Bubble), StatusJson.Finite(point.Seconds)))]);

    private static async Task CommandAsync(HttpContext context, CommandDesk desk, string line)
    {
        var answer = await desk.RunAsync(new CommandCall(line, ""), context.RequestAborted).ConfigureAwait(false);
        if (!answer.IsDone) context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        await context.Response.WriteAsJsonAsync(new JsonObject { ["done"] = answer.IsDone, ["message"] = answer.Text, ["data"] = answer.Json?.DeepClone() }).ConfigureAwait(false);
    }

    private static Task PointsAsync(HttpContext context, RunWatch watch)
    {
        var points = watch.Points(Number(context, "after", 0)).Where(point => point.Step <= Number(context, "through", long.MaxValue)).ToArray();
        return context.Response.WriteAsJsonAsync(new JsonObject
        {
            ["points"] = Json(PointThinning.Thin(points, (int)Math.Clamp(Number(context, "most", MostPoints), 10, MostPoints))),
            ["evaluations"] = new JsonArray([.. watch.Evaluations.Select(one => (JsonNode)new JsonArray(one.Step, StatusJson.Finite(one.ValidationLoss)))]),
        });
    }

    /// <summary>The course of another run: its name is compared with those that are there, never made part of a path.</summary>
    private static async Task CompareAsync(HttpContext context, CommandDesk desk)
    {
        var parent = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(desk.Run.Files.Folder))) ?? "/";
        var name = context.Request.Query["run"].ToString();
        var folder = Directory.EnumerateDirectories(parent).FirstOrDefault(candidate => Path.GetFileName(candidate) == name);
        if (folder is null || !File.Exists(new RunFiles(folder).Metrics))
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return;
        }

        RunWatch other = new(TimeProvider.System, new RunFiles(folder));
        await PointsAsync(context, other).ConfigureAwait(false);
    }

    private static long Number(HttpContext context, string name, long otherwise) =>
        long.TryParse(context.Request.Query[name].ToString(), CultureInfo.InvariantCulture, out var number) ? number : otherwise;
}
