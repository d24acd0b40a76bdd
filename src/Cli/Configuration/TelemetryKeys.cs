using System.Net;
using Pipeline.Operator;

namespace Pipeline.Cli.Configuration;

/// <summary>Keys of <c>pipeline.telemetry</c>. None of them changes a run's numbers, so a resumed run may change them all.</summary>
public static class TelemetryKeys
{
    /// <summary>Whether the run has a web page.</summary>
    public static readonly FlagSetting Dashboard = new("telemetry.dashboard") { ChangesOnResume = true };

    /// <summary>Where it listens.</summary>
    public static readonly TextSetting Bind = new("telemetry.bind", "an address of this machine, such as 127.0.0.1") { Accepts = text => IPAddress.TryParse(text, out _), ChangesOnResume = true };

    /// <summary>Its port.</summary>
    public static readonly WholeNumberSetting Port = new("telemetry.port", 0, 65_535, "port; 0 lets the system choose") { ChangesOnResume = true };

    /// <summary>Where metrics and traces go.</summary>
    public static readonly OptionalSetting<string, string?> Otlp = Address("telemetry.otlp", "the address of an OTLP collector, such as http://127.0.0.1:4317");

    /// <summary>Form of the log's entries.</summary>
    public static readonly ChoiceSetting<LogFormat> Format = new("telemetry.log-format", ("text", LogFormat.Text), ("json", LogFormat.Json)) { ChangesOnResume = true };

    /// <summary>Whom the watchdog tells.</summary>
    public static readonly OptionalSetting<string, string?> Webhook = Address("telemetry.webhook", "the address of an HTTP server");

    /// <summary>When a loss counts as a spike.</summary>
    public static readonly RealNumberSetting LossSpike = new("telemetry.loss-spike", new(1, 1000), "times the spread of the newest losses") { ChangesOnResume = true };

    /// <summary>When a run counts as stalled.</summary>
    public static readonly RealNumberSetting StallAfter = new("telemetry.stall-after", new(1, 86_400), "seconds") { ChangesOnResume = true };

    /// <summary>When a run counts as slowed down.</summary>
    public static readonly RealNumberSetting Slowdown = new("telemetry.slowdown", new(1.01, 1000), "times the former time of a step") { ChangesOnResume = true };

    /// <summary>When a disk counts as nearly full.</summary>
    public static readonly WholeNumberSetting LeastFree = new("telemetry.least-free", 0, 1_000_000_000, "MiB") { ChangesOnResume = true };

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } = [Dashboard, Bind, Port, Otlp, Format, Webhook, LossSpike, StallAfter, Slowdown, LeastFree];

    private static OptionalSetting<string, string?> Address(string path, string expectation) => new(new TextSetting(path, expectation)
    {
        Accepts = text => Uri.TryCreate(text, UriKind.Absolute, out var uri) && (uri.Scheme is "http" or "https"),
    }) { ChangesOnResume = true };
}
