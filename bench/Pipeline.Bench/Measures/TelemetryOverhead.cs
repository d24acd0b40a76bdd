using System.Globalization;
using System.Net;
using Akka.Actor;
using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;
using Pipeline.Coordinator;
using Pipeline.Dashboard;
using Pipeline.Model;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Training;

namespace Pipeline.Bench.Measures;

/// <summary>
/// What telemetry costs a run: one training in which it is switched on and off in turn, every so many steps, so that a machine whose speed
/// drifts does the same to both sides. On: watch, meter, log, watchdog, the page open (its stream and its questions), /metrics read each second.
/// </summary>
internal static class TelemetryOverhead
{
    private const int StageCount = 2;
    private const double Allowed = 0.01;

    // The first steps of a window see the change itself.
    private const int Settling = 2;

    public static async Task<BenchReport> MeasureAsync(BenchOptions options)
    {
        var settings = options.IsQuick ? BenchModels.Tiny() : BenchModels.Gpt(6, 192, 6, 256, 4096) with { Tied = true };
        var window = options.IsQuick ? 10 : 20;
        var windows = 2 * (options.PairCount ?? (options.IsQuick ? 3 : 20));
        var (steps, processor) = await TrainAsync(settings, window, windows).ConfigureAwait(false);
        // The first pair warms up.
        var medians = Enumerable.Range(2, windows - 2).Select(index => Distribution.Median(steps.Skip(index * window + Settling).Take(window - Settling).Select(step => step.Seconds))).ToArray();
        double[] ratios = [.. medians.Chunk(2).Select(pair => pair[1] / pair[0] - 1)];
        var (off, on) = (Distribution.Median(medians.Where((_, index) => index % 2 == 0)), Distribution.Median(medians.Where((_, index) => index % 2 == 1)));
        var overhead = Distribution.Median(ratios);
        // What the processor did hardly varies with who else is on the machine: it tells the cost apart from the noise.
        double[] work = [.. Enumerable.Range(2, windows - 2).Select(index => (processor[index + 1] - processor[index]).TotalSeconds)];
        var extra = Distribution.Median(work.Chunk(2).Select(pair => pair[1] / pair[0] - 1));
        return new BenchReport(
            "telemetry", "What telemetry costs with the dashboard open",
            Text($"{settings.Layers} layers × {settings.Width}, T = {settings.Context}, two stages of one thread, 4 micro-batches of 4, fp32. One training; telemetry is off and on in turn for {window} steps each. On: watch, meter, log, watchdog, the page's stream, its questions every 2 s, /metrics each second; the client is in the same process and counts too. Medians of the steps of each window, median of the pairs' quotients; processor time likewise, of the whole windows."),
            ["pairs", "off ms a step", "on ms a step", "overhead", "quartiles", "processor time", "allowed", "verdict"],
            [[$"{ratios.Length}", Text($"{1e3 * off:F2}"), Text($"{1e3 * on:F2}"), Text($"{overhead:P2}"), Text($"{Distribution.Quantile(ratios, 0.25):P2} to {Distribution.Quantile(ratios, 0.75):P2}"), Text($"{extra:+0.00 %;-0.00 %}"), Text($"{Allowed:P0}"), overhead <= Allowed ? "met" : "missed"]]);
    }

    // The steps, and the processor's time at the beginning and at each window's end.
    private static async Task<(IReadOnlyList<StepSummary> Steps, IReadOnlyList<TimeSpan> Processor)> TrainAsync(ModelSettings settings, int window, int windows)
    {
        var folder = Directory.CreateTempSubdirectory("pipeline-telemetry-");
        try
        {
            var observed = new ObservedRun(new RunFiles(folder.FullName), window);
            await using (observed.ConfigureAwait(false))
            {
                await observed.OpenAsync().ConfigureAwait(false);
                StepLog log = new();
                TrainingPlan plan = new()
                {
                    Units = DecoderTransformer.Units(settings), Batches = new RandomTokens(settings, 4, 4), Optimizer = BenchModels.Optimizer, Steps = window * windows, StageCount = StageCount,
                };
                StepLog.ThrowUnlessCompleted(await PipelineRun.TrainAsync(plan, new ObserverChain(log, observed), observed.Led).ConfigureAwait(false));
                return (log.Steps, observed.Processor);
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>Everything that looks at a run, for the odd windows only.</summary>
    private sealed class ObservedRun(RunFiles files, int window) : IRunObserver, IAsyncDisposable
    {
        private readonly RunWatch _watch = new(TimeProvider.System);
        private readonly RunMeter _meter = new(TimeProvider.System);
        private readonly RunLog _log = RunLog.Open(Path.Combine(files.Logs, "run.log"), LogFormat.Json, "bench", TimeProvider.System);
        private readonly HttpClient _client = new();
        private volatile CommandDesk? _desk;
        private DashboardServer? _server;
        private Watchdog? _watchdog;
        private CancellationTokenSource? _open;
        private readonly List<TimeSpan> _processor = [];
        private Task _looking = Task.CompletedTask;

        internal IReadOnlyList<TimeSpan> Processor => _processor;

        internal async Task OpenAsync()
        {
            Led(ActorRefs.Nobody);
            _processor.Add(Environment.CpuUsage.TotalTime);
            _server = await DashboardServer.StartAsync(new DashboardOptions(new IPEndPoint(IPAddress.Loopback, 0), "token"), () => _desk!, TimeProvider.System).ConfigureAwait(false);
            _client.BaseAddress = _server.Address;
            _watchdog = new Watchdog(() => _desk!, new WatchdogSettings(10, 60, 1.5, 1, null), TimeProvider.System);
        }

        internal void Led(IActorRef coordinator)
        {
            IReadOnlyList<OperatedNode> nodes = [new(default, new NodeLine("local", Environment.ProcessId, [], "", Environment.MachineName, true))];
            _desk = new CommandDesk(new OperatedRun(files, coordinator, _ => Task.FromResult(nodes), () => { }), _watch);
        }

        public void OnNotice(RunNotice notice)
        {
            if (notice is RunNotice.StepCommitted { Step: var step } && step.Step % window == 0)
            {
                _processor.Add(Environment.CpuUsage.TotalTime);
                Turn(isOn: step.Step / window % 2 == 1);
            }

            if (_open is null) return;
            _watch.OnNotice(notice);
            _meter.OnNotice(notice);
            _log.OnNotice(notice);
        }

        private void Turn(bool isOn)
        {
            _open?.Cancel();
            _open = isOn ? new CancellationTokenSource() : null;
            if (_open is { } open) _looking = Task.WhenAll(ReadAsync("/api/stream", open.Token), EveryAsync(1, ["/metrics"], open.Token), EveryAsync(2, ["/api/status", "/api/timeline", "/api/stages", "/api/explain"], open.Token));
        }

        private async Task ReadAsync(string path, CancellationToken closed)
        {
            try
            {
                using var response = await _client.GetAsync(path, HttpCompletionOption.ResponseHeadersRead, closed).ConfigureAwait(false);
                using StreamReader reader = new(await response.Content.ReadAsStreamAsync(closed).ConfigureAwait(false));
                while (await reader.ReadLineAsync(closed).ConfigureAwait(false) is not null)
                {
                }
            }
            catch (Exception over) when (over is OperationCanceledException or IOException or HttpRequestException)
            {
                // The window is over.
            }
        }

        private async Task EveryAsync(int seconds, IReadOnlyList<string> paths, CancellationToken closed)
        {
            using PeriodicTimer timer = new(TimeSpan.FromSeconds(seconds));
            try
            {
                do
                {
                    foreach (var path in paths) _ = await _client.GetStringAsync(path, closed).ConfigureAwait(false);
                }
                while (await timer.WaitForNextTickAsync(closed).ConfigureAwait(false));
            }
            catch (Exception over) when (over is OperationCanceledException or HttpRequestException)
            {
                // The window is over.
            }
        }

        public async ValueTask DisposeAsync()
        {
            if (_open is not null) await _open.CancelAsync().ConfigureAwait(false);
            await _looking.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (_watchdog is not null) await _watchdog.DisposeAsync().ConfigureAwait(false);
            if (_server is not null) await _server.DisposeAsync().ConfigureAwait(false);
            _client.Dispose();
            _log.Dispose();
            _meter.Dispose();
        }
    }
}
