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
/// What being watched costs: the same run bare, and with everything that looks after a run in its process: watch, instruments, watchdog, web
/// page, and readers of it. The readers' own work is in the watched figure too, since they live in the same process.
/// </summary>
internal static class TelemetryCost
{
    private const int WarmUpStepCount = 10;
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);
    private static readonly string[] Looks = ["/metrics", "/api/status", "/api/stages", "/api/timeline", "/api/happenings"];

    /// <summary>Measures pairs, the bare run first in every other one.</summary>
    public static async Task<BenchReport> MeasureAsync(BenchOptions options)
    {
        var settings = options.IsQuick ? BenchModels.Tiny() : BenchModels.Nano;
        var plan = new TrainingPlan
        {
            Units = DecoderTransformer.Units(settings), Batches = new RandomTokens(settings, 4, 4), Optimizer = BenchModels.Optimizer,
            Steps = (options.StepCount ?? 120) + WarmUpStepCount, StageCount = 2,
        };
        List<IReadOnlyList<string>> rows = [];
        List<double> ratios = [];
        for (var pair = 0; pair < (options.PairCount ?? 5); pair++)
        {
            var isBareFirst = pair % 2 == 0;
            var first = isBareFirst ? await BareAsync(plan).ConfigureAwait(false) : await WatchedAsync(plan).ConfigureAwait(false);
            var second = isBareFirst ? await WatchedAsync(plan).ConfigureAwait(false) : await BareAsync(plan).ConfigureAwait(false);
            var (bare, watched) = isBareFirst ? (first, second) : (second, first);
            ratios.Add(watched.Rate / bare.Rate);
            rows.Add([$"{pair + 1}", isBareFirst ? "bare" : "watched", $"{bare.Rate:F0}", $"{watched.Rate:F0}", $"{ratios[^1]:F4}", $"{watched.Looks}", $"{watched.Events}"]);
        }

        var median = Distribution.Median(ratios);
        return new BenchReport(
            "telemetry",
            "Cost of being watched",
            $"Two stages, 1F1B, {settings.Layers} layers × {settings.Width}, T = {settings.Context}, 4 micro-batches of 4, {plan.Steps - WarmUpStepCount} steps after {WarmUpStepCount} to warm up. "
            + "Watched: watch, instruments, watchdog and web page in the run's process, one reader of the event stream, one that asks /metrics and the page's tables every second. "
            + "Tokens a second over the medians of the steps' times, each in turn.",
            ["pair", "first", "bare tok/s", "watched tok/s", "watched ÷ bare", "looks", "events"],
            rows)
        {
            Remarks = [$"Median ratio {median:F4}, so a cost of {1 - median:P2}; at most 1 % is allowed: {(median >= 0.99 ? "met" : "missed")}. Range {ratios.Min():F4} to {ratios.Max():F4}."],
        };
    }

    private static async Task<Result> BareAsync(TrainingPlan plan)
    {
        var log = new StepLog();
        StepLog.ThrowUnlessCompleted(await PipelineRun.TrainAsync(plan, log).ConfigureAwait(false));
        return new Result(RateOf(log), 0, 0);
    }

    private static async Task<Result> WatchedAsync(TrainingPlan plan)
    {
        var folder = Directory.CreateTempSubdirectory("pipeline-bench-telemetry-");
        try
        {
            RunWatch watch = new(TimeProvider.System);
            using RunMeter meter = new(TimeProvider.System);
            var log = new StepLog();
            IReadOnlyList<OperatedNode> nodes = [new(default, new NodeLine("local", Environment.ProcessId, [], "", Environment.MachineName, true))];
            CommandDesk DeskOf(IActorRef coordinator) => new(new OperatedRun(new RunFiles(folder.FullName), coordinator, _ => Task.FromResult(nodes), () => { }), watch);
            var desk = DeskOf(ActorRefs.Nobody);
            var watchdog = new Watchdog(() => desk, new WatchdogSettings(10, 60, 2, 0, null), TimeProvider.System);
            await using var watched = watchdog.ConfigureAwait(false);
            var server = await DashboardServer.StartAsync(new DashboardOptions(new IPEndPoint(IPAddress.Loopback, 0), "unused"), () => desk, TimeProvider.System).ConfigureAwait(false);
            await using var served = server.ConfigureAwait(false);
            using CancellationTokenSource end = new();
            var (looks, events) = (LookAsync(server.Address, end.Token), FollowAsync(server.Address, end.Token));
            StepLog.ThrowUnlessCompleted(await PipelineRun.TrainAsync(plan, new ObserverChain(log, watch, meter), coordinator => desk = DeskOf(coordinator)).ConfigureAwait(false));
            await end.CancelAsync().ConfigureAwait(false);
            return new Result(RateOf(log), await looks.ConfigureAwait(false), await events.ConfigureAwait(false));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static double RateOf(StepLog log)
    {
        var steps = log.Steps.Skip(WarmUpStepCount).ToArray();
        return steps[0].TokenCount / Distribution.Median(steps.Select(step => step.Seconds));
    }

    private static async Task<int> LookAsync(Uri address, CancellationToken end)
    {
        using HttpClient client = new() { BaseAddress = address };
        var count = 0;
        try
        {
            while (true)
            {
                foreach (var look in Looks)
                {
                    using var answer = await client.GetAsync(look, end).ConfigureAwait(false);
                    _ = await answer.Content.ReadAsByteArrayAsync(end).ConfigureAwait(false);
                    count++;
                }

                await Task.Delay(LookEvery, end).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            return count;
        }
    }

    private static async Task<int> FollowAsync(Uri address, CancellationToken end)
    {
        using HttpClient client = new() { BaseAddress = address };
        var count = 0;
        try
        {
            using StreamReader reader = new(await client.GetStreamAsync("/api/stream", end).ConfigureAwait(false));
            while (await reader.ReadLineAsync(end).ConfigureAwait(false) is { } line)
            {
                if (line.StartsWith("event:", StringComparison.Ordinal)) count++;
            }
        }
        catch (OperationCanceledException)
        {
            // The run is over.
        }

        return count;
    }

    private sealed record Result(double Rate, int Looks, int Events);
}
