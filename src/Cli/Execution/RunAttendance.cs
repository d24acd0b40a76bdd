using Pipeline.Cli.Configuration;
using Pipeline.Dashboard;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>
/// Whoever looks after a run in the process that leads it: its watchdog and its dashboard. The run needs neither: a dashboard that cannot
/// listen is said on stderr, and the run goes on without.
/// </summary>
internal sealed class RunAttendance : IRunAttendance
{
    private readonly Watchdog _watchdog;
    private readonly DashboardServer? _dashboard;

    private RunAttendance(Watchdog watchdog, DashboardServer? dashboard) => (_watchdog, _dashboard) = (watchdog, dashboard);

    /// <summary>Where the dashboard is; null without one.</summary>
    public Uri? Address => _dashboard?.Address;

    /// <summary>Where the page of whoever looked after a run last was, by what that has left; null for nowhere.</summary>
    public static Uri? FormerPage(RunFiles files)
    {
        try
        {
            return EndpointFile.Read(files.Endpoint)?.Dashboard is { } address && Uri.TryCreate(address, UriKind.Absolute, out var page) ? page : null;
        }
        catch (RunException)
        {
            // A damaged file is written anew.
            return null;
        }
    }

    /// <summary>Begins.</summary>
    /// <param name="context">Where to say what cannot be.</param>
    /// <param name="settings">What is wanted.</param>
    /// <param name="desk">The run.</param>
    /// <param name="token">What a change must show.</param>
    /// <param name="former">Where the run's page was before; null for nowhere.</param>
    public static async Task<RunAttendance> StartAsync(CommandContext context, TelemetrySettings settings, Func<CommandDesk> desk, string token, Uri? former)
    {
        DashboardServer? dashboard = null;
        try
        {
            if (settings.Listen is { } listen) dashboard = await DashboardServer.StartAsync(new DashboardOptions(listen, token, former), desk, context.Time).ConfigureAwait(false);
        }
        catch (Exception taken) when (taken is IOException or System.Net.Sockets.SocketException)
        {
            await context.Error.WriteLineAsync($"The dashboard cannot listen on {settings.Listen}: {taken.Message.TrimEnd('.')}. The run goes on without it; set telemetry.port or telemetry.bind.").ConfigureAwait(false);
        }

        return new RunAttendance(new Watchdog(desk, settings.Watchdog, context.Time), dashboard);
    }

    public async ValueTask DisposeAsync()
    {
        await _watchdog.DisposeAsync().ConfigureAwait(false);
        if (_dashboard is not null) await _dashboard.DisposeAsync().ConfigureAwait(false);
    }
}
