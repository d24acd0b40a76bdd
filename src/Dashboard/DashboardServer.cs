using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using Pipeline.Operator;

namespace Pipeline.Dashboard;

/// <summary>
/// The web page of a run and what machines ask for: <c>/metrics</c> for Prometheus, <c>/healthz</c>, <c>/readyz</c>. It lives in the
/// process that leads the run, for as long as that process does.
/// </summary>
public sealed class DashboardServer : IAsyncDisposable
{
    private const string ContentPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    // A former leader may be about to end.
    private static readonly TimeSpan FormerPatience = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);
    private readonly WebApplication _web;
    private readonly MeterProvider _meters;

    private DashboardServer(WebApplication web, MeterProvider meters) => (_web, _meters) = (web, meters);

    /// <summary>Where it is reached.</summary>
    public Uri Address => new(_web.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

    /// <summary>Listens.</summary>
    /// <param name="options">Where, and who may do what.</param>
    /// <param name="desk">The run; it may change while the server lives.</param>
    /// <param name="time">Clock of the stream.</param>
    /// <exception cref="IOException">The port is taken, or the address is not of this machine.</exception>
    public static async Task<DashboardServer> StartAsync(DashboardOptions options, Func<CommandDesk> desk, TimeProvider time)
    {
        if (options.First is not { } first) return await StartAsync(options, options.Listen, desk, time).ConfigureAwait(false);
        for (var since = time.GetTimestamp(); time.GetElapsedTime(since) < FormerPatience; await Task.Delay(Pause, time).ConfigureAwait(false))
        {
            try
            {
                return await StartAsync(options, first, desk, time).ConfigureAwait(false);
            }
            catch (Exception taken) when (taken is IOException or SocketException)
            {
                // Somebody else has the port.
            }
        }

        return await StartAsync(options, options.Listen, desk, time).ConfigureAwait(false);
    }

    private static async Task<DashboardServer> StartAsync(DashboardOptions options, IPEndPoint listen, Func<CommandDesk> desk, TimeProvider time)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(listen);
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 64 * 1024;
            kestrel.Limits.MaxConcurrentConnections = 64;
        });
        builder.Services.AddRoutingCore();
        var meters = Sdk.CreateMeterProviderBuilder().AddMeter(RunMeter.Name).AddMeter("System.Runtime").AddPrometheusExporter().Build();
        var web = builder.Build();
        Guard(web, new RequestGuard(options), desk);
        web.UseOpenTelemetryPrometheusScrapingEndpoint(meters, null, "/metrics", null, null);
        web.UseRouting();
        PageFiles.Map(web);
        RunQueries.Map(web, desk);
        RunStream.Map(web, desk, time);
        MapCommands(web, desk);
        MapHealth(web, desk);
        DashboardServer server = new(web, meters);
        try
        {
            await web.StartAsync().ConfigureAwait(false);
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        using (CancellationTokenSource atOnce = new(TimeSpan.FromSeconds(1))) await _web.StopAsync(atOnce.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _web.DisposeAsync().ConfigureAwait(false);
        _meters.Dispose();
    }

    private static void Guard(WebApplication web, RequestGuard guard, Func<CommandDesk> desk) => web.Use((context, next) =>
    {
        var headers = context.Response.Headers;
        headers.ContentSecurityPolicy = ContentPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        headers.CacheControl = "no-store";
        // The page itself holds nothing: it asks for the token where one is needed.
        if (PageFiles.Holds(context.Request.Path) || guard.FaultOf(context.Request) is not { } fault) return next(context);
        desk().Refused($"{context.Connection.RemoteIpAddress}", fault);
        context.Response.StatusCode = StatusCodes.Status403Forbidden;
        return context.Response.WriteAsJsonAsync(new JsonObject { ["done"] = false, ["message"] = fault });
    });

    private static void MapCommands(WebApplication web, Func<CommandDesk> desk)
    {
        web.MapPost("/api/command", async context =>
        {
            var body = await ReadAsync(context).ConfigureAwait(false);
            if (body?["line"]?.ToString() is not { } line)
            {
                context.Response.StatusCode = StatusCodes.Status400BadRequest;
                await context.Response.WriteAsJsonAsync(new JsonObject { ["done"] = false, ["message"] = "Expected a line." }).ConfigureAwait(false);
                return;
            }

            var answer = await desk().RunAsync(new CommandCall(line, $"dashboard, {context.Connection.RemoteIpAddress}", body["id"]?.ToString() ?? ""), context.RequestAborted).ConfigureAwait(false);
            await context.Response.WriteAsJsonAsync(new JsonObject { ["done"] = answer.IsDone, ["message"] = answer.Text, ["asks"] = answer.NeedsConsent }).ConfigureAwait(false);
        });
        web.MapPost("/api/complete", async context =>
        {
            var body = await ReadAsync(context).ConfigureAwait(false);
            var words = await desk().CompleteAsync(body?["line"]?.ToString() ?? "", context.RequestAborted).ConfigureAwait(false);
            await context.Response.WriteAsJsonAsync(words).ConfigureAwait(false);
        });
    }

    private static async Task<JsonObject?> ReadAsync(HttpContext context)
    {
        try
        {
            return await JsonNode.ParseAsync(context.Request.Body, cancellationToken: context.RequestAborted).ConfigureAwait(false) as JsonObject;
        }
        catch (System.Text.Json.JsonException)
        {
            return null;
        }
    }

    private static void MapHealth(WebApplication web, Func<CommandDesk> desk)
    {
        web.MapGet("/healthz", context => context.Response.WriteAsync("ok\n"));
        web.MapGet("/readyz", async context =>
        {
            var phase = await RunQueries.PhaseAsync(desk(), context.RequestAborted).ConfigureAwait(false);
            if (phase is null or "preparing" or "ended") context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            await context.Response.WriteAsync($"{phase ?? "silent"}\n").ConfigureAwait(false);
        });
    }
}
