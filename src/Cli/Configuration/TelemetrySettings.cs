using System.Net;
using Pipeline.Operator;

namespace Pipeline.Cli.Configuration;

/// <summary>Where a run is watched from.</summary>
/// <param name="Listen">Where the dashboard listens; null for no dashboard.</param>
/// <param name="Otlp">Where metrics and traces go by OTLP; null for nowhere.</param>
/// <param name="Format">Form of the log's entries.</param>
/// <param name="Watchdog">From when on the watchdog speaks.</param>
public sealed record TelemetrySettings(IPEndPoint? Listen, Uri? Otlp, LogFormat Format, WatchdogSettings Watchdog)
{
    /// <summary>Reads them.</summary>
    internal static TelemetrySettings From(ResolvedConfiguration from) => new(
        from.Get(TelemetryKeys.Dashboard) ? new IPEndPoint(IPAddress.Parse(from.Get(TelemetryKeys.Bind)), from.Count(TelemetryKeys.Port)) : null,
        from.Get(TelemetryKeys.Otlp) is { } otlp ? new Uri(otlp) : null,
        from.Get(TelemetryKeys.Format),
        new WatchdogSettings(
            from.Get(TelemetryKeys.LossSpike), from.Get(TelemetryKeys.StallAfter), from.Get(TelemetryKeys.Slowdown), (long)from.Count(TelemetryKeys.LeastFree) << 20,
            from.Get(TelemetryKeys.Webhook) is { } hook ? new Uri(hook) : null));
}
