using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using Pipeline.Operator;
using Pipeline.Protocol;

namespace Pipeline.Dashboard;

/// <summary>
/// Sends by OTLP what this process measures and traces: every process of a run its own part, the spans of its ranks and, where it leads, what is measured of
/// the run. Once to each collector, however many runs name it. Owns the exporters; what they hold is sent before they end.
/// </summary>
/// <param name="name">Tells this process from the others of the service.</param>
public sealed class TelemetryExport(string name) : IDisposable
{
    private const string Service = "pipeline";
    private readonly Lock _gate = new();
    private readonly Dictionary<Uri, (MeterProvider Meters, TracerProvider Traces)> _collectors = [];
    private bool _isDisposed;

    /// <summary>Sends there, too, from now on.</summary>
    /// <param name="collector">Where to; null for nowhere.</param>
    public void Send(Uri? collector)
    {
        if (collector is null) return;
        lock (_gate)
        {
            if (!_isDisposed && !_collectors.ContainsKey(collector)) _collectors.Add(collector, (Meters(collector), Traces(collector)));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            foreach (var (meters, traces) in _collectors.Values)
            {
                traces.Dispose();
                meters.Dispose();
            }

            _collectors.Clear();
        }
    }

    private MeterProvider Meters(Uri collector) => Sdk.CreateMeterProviderBuilder().ConfigureResource(Describe)
        .AddMeter(RunMeter.Name).AddMeter("System.Runtime").AddOtlpExporter(exporter => exporter.Endpoint = collector).Build();

    private TracerProvider Traces(Uri collector) => Sdk.CreateTracerProviderBuilder().ConfigureResource(Describe)
        .AddSource(RunMeter.Name).AddSource(StepTraces.RankSource).AddOtlpExporter(exporter => exporter.Endpoint = collector).Build();

    private void Describe(ResourceBuilder resource) => resource.AddService(Service, serviceInstanceId: name);
}
